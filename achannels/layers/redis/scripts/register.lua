-- A node begins, or begins anew after it was forgotten: one step, with its groups.
-- ARGV: node, "", candidate epoch, "1" for its first time, log TTL ms, group TTL ms, count, groups...
-- Answer: OK, epoch, incarnation, id of the last entry, now

local epoch = redis.call('HGET', META, 'epoch')
if not epoch then
    epoch = EPOCH
    redis.call('HSET', META, 'epoch', epoch)
    if ARGV[4] ~= '1' then redis.call('HSET', META, 'grace', int(now + GRACE)) end
end
fence(NODE)
write_back()
-- Never the same again, also when the counter is lost with the data.
local inc = int(now * 1000 + redis.call('HINCRBY', META, 'inc', 1) % 1000)
local key = P .. 'log:' .. NODE
local id = int(now) .. '-1'
redis.call('XADD', key, id, 'e', '')
redis.call('XDEL', key, id)
redis.call('HSET', P .. 'n:' .. NODE, 'inc', inc, 'sq', '1', 'ms', int(now), 'bytes', '0', 'pos', id, 'q', '0')
redis.call('HINCRBY', P .. 'hb', NODE, 1)
redis.call('PEXPIRE', key, ARGV[5])
redis.call('PEXPIRE', P .. 'n:' .. NODE, ARGV[5])
for i = 8, 7 + tonumber(ARGV[7]) do
    redis.call('HSET', P .. 'g:' .. ARGV[i], NODE, '1')
    redis.call('PEXPIRE', P .. 'g:' .. ARGV[i], ARGV[6])
    redis.call('SADD', P .. 'ng:' .. NODE, ARGV[i])
end
return {'OK', epoch, inc, id, int(now)}
