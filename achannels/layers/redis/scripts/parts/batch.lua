-- What a batch needs before its operations are known. Needs head.lua.

local meta = redis.call('HMGET', META, 'epoch', 'grace')
if meta[1] ~= EPOCH then return {'EPOCH'} end
local mine = log_of(NODE)
if not mine or mine.inc ~= INC then return {'FENCED'} end
local number, done = tonumber(ARGV[4]), tonumber(mine.batch)
if number == done then return cmsgpack.unpack(redis.call('HGET', P .. 'n:' .. NODE, 'qr')) end
if number < done then return {'STALE'} end
if number > done + 1 then return begin_epoch(ARGV[5]) end
if meta[2] then
    if now < tonumber(meta[2]) then return {'WAIT'} end
    redis.call('HDEL', META, 'grace')
end
local LOG_CAPACITY, LOG_BYTES = tonumber(ARGV[6]), tonumber(ARGV[7])

local ops = {}
