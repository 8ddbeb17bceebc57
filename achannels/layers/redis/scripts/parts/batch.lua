-- What a batch needs before its operations are known. Needs head.lua.

if redis.call('HGET', META, 'epoch') ~= EPOCH then return {'EPOCH'} end
local mine = log_of(NODE)
if not mine or mine.inc ~= INC then return {'FENCED'} end
local number = tonumber(ARGV[4])
local last = redis.call('HMGET', P .. 'n:' .. NODE, 'q', 'qr')
local done = tonumber(last[1])
if number == done then return cmsgpack.unpack(last[2]) end
if number < done then return {'STALE'} end
if number > done + 1 then return begin_epoch(ARGV[5]) end
local grace = redis.call('HGET', META, 'grace')
if grace then
    if now < tonumber(grace) then return {'WAIT'} end
    redis.call('HDEL', META, 'grace')
end
local LOG_CAPACITY, LOG_BYTES = tonumber(ARGV[6]), tonumber(ARGV[7])
