-- A node that is silent for a lease, or that leaves, is forgotten, and all others are told.
-- ARGV: caller, incarnation, epoch, node, heartbeat last seen ("" for oneself)
-- Answer: OK, 1 when it was forgotten by this call

if redis.call('HGET', META, 'epoch') ~= EPOCH then return {'EPOCH'} end
local mine = log_of(NODE)
if not mine or mine.inc ~= INC then return {'FENCED'} end
local node = ARGV[4]
local beat = redis.call('HGET', P .. 'hb', node)
if not beat or (ARGV[5] ~= '' and beat ~= ARGV[5]) then return {'OK', 0} end
local log = fence(node)
for _, other in ipairs(redis.call('HKEYS', P .. 'hb')) do
    local their = log_of(other)
    if their then append(their, '-' .. node .. ' ' .. (log and log.inc or '0') .. ' ' .. (log and log.pos or '0-0') .. '\n') end
end
write_back()
return {'OK', 1}
