-- A node has read its log so far: the entries go, and so does the room that they took.
-- ARGV: node, incarnation, epoch, last id read, last id it knows to be committed, candidate epoch, bytes read, count,
--       (local part, messages)..., then its books: (name, number)...

if redis.call('HGET', META, 'epoch') ~= EPOCH then return {'EPOCH'} end
local log = log_of(NODE)
if not log or log.inc ~= INC then return {'FENCED'} end
local to = ARGV[4]
local pairs_end = 8 + 2 * tonumber(ARGV[8])
local ms, sq = string.match(to, '^(%d+)-(%d+)$')
-- What was read or committed and is not known here any more was lost with newer data.
if tonumber(sq) > log.sq or sequence(log.pos) < sequence(ARGV[5]) then return begin_epoch(ARGV[6]) end
if log.pos ~= to then
    redis.call('XTRIM', log.key, 'MINID', '=', ms .. '-' .. int(tonumber(sq) + 1))
    redis.call('HSET', P .. 'n:' .. NODE, 'pos', to)
    log.bytes = log.bytes - tonumber(ARGV[7])
    log.written = true
    local cap = P .. 'cap:' .. NODE
    for i = 9, pairs_end, 2 do
        local by = tonumber(ARGV[i + 1])
        if redis.call('HINCRBY', cap, ARGV[i], -by) <= 0 then redis.call('HDEL', cap, ARGV[i]) end
        count('taken', by)
    end
    write_back()
end
if ARGV[pairs_end + 1] then
    redis.call('HSET', P .. 'b:' .. NODE, unpack(ARGV, pairs_end + 1))
    mortal('b:', NODE)
end
return {'OK'}
