-- A node says that it lives, and learns who else does.
-- ARGV: node, incarnation, epoch, last id it knows to be committed, candidate epoch, log TTL ms, channels to sweep
-- Answer: OK, now, sequence of the last entry written, then node, heartbeat, ...

if redis.call('HGET', META, 'epoch') ~= EPOCH then return {'EPOCH'} end
local log = log_of(NODE)
if not log or log.inc ~= INC then return {'FENCED'} end
if sequence(log.pos) < sequence(ARGV[4]) then return begin_epoch(ARGV[5]) end
redis.call('HINCRBY', P .. 'hb', NODE, 1)
for _, key in ipairs({'n:', 'log:', 'cap:', 'ng:', 'nw:', 'b:'}) do
    redis.call('PEXPIRE', P .. key .. NODE, ARGV[6])
end
for _, channel in ipairs(redis.call('SRANDMEMBER', P .. 'chs', ARGV[7])) do
    look(channel)
end
for _, group in ipairs(redis.call('SRANDMEMBER', P .. 'gm', ARGV[7])) do
    if redis.call('EXISTS', P .. 'g:' .. group) == 0 then redis.call('SREM', P .. 'gm', group) end
end
write_back()
local answer = redis.call('HGETALL', P .. 'hb')
table.insert(answer, 1, int(log.sq))
table.insert(answer, 1, int(now))
table.insert(answer, 1, 'OK')
return answer
