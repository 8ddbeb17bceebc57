-- Operations that write into the logs of nodes and are no messages: joins and leaves, the events of split mode.
-- Needs send_ops.lua.

local function join(group, node, ttl, log, entry)
    local id = append(log, entry)
    redis.call('HSET', P .. 'g:' .. group, node, int(log.sq))
    redis.call('PEXPIRE', P .. 'g:' .. group, ttl)
    redis.call('SADD', P .. 'ng:' .. node, group)
    mortal('ng:', node)
    return id
end

-- From now on the caller changes memberships of its sockets itself: who changes them from elsewhere waits until it
-- has read that, so that what is done one after the other takes effect in that order.
function ops.o()
    if not mine.own then
        redis.call('HSET', P .. 'n:' .. NODE, 'own', '1')
        mine.own = '1'
    end
    return 1
end

-- The caller joins with its first member: group, TTL of the group, entry.
-- Answer: id of the entry
function ops.J(group, ttl, entry)
    ops.o()
    return join(group, NODE, ttl, mine, entry)
end

-- A socket of another node joins or leaves: "J" or "L", group, its node, TTL of the group, entry, question.
-- Answer: id of the entry, 1 if the node was asked to say when it has read that
function ops.I(code, group, node, ttl, entry, question)
    local log = log_of(node)
    if not log then return 'GONE' end
    local id = code == 'J' and join(group, node, ttl, log, entry) or append(log, entry)
    if not log.own or question == '' then return {id, 0} end
    append(log, question)
    return {id, 1}
end

-- The caller has no member left: group, sequence of the last join that it knows.
-- Answer: 1, or 0 when another join is on its way
function ops.N(group, version)
    local joined = redis.call('HGET', P .. 'g:' .. group, NODE)
    if joined and joined ~= version then return 0 end
    redis.call('HDEL', P .. 'g:' .. group, NODE)
    redis.call('SREM', P .. 'ng:' .. NODE, group)
    return 1
end

-- An ordinary channel joins: group, channel, milliseconds, capacity, expiry, TTL of the group.
function ops.M(group, channel, lasts, capacity, expiry, ttl)
    local lapses = int(now + tonumber(lasts))
    redis.call('HSET', P .. 'g:' .. group, '#' .. channel, lapses .. ' ' .. capacity .. ' ' .. expiry)
    redis.call('PEXPIRE', P .. 'g:' .. group, ttl)
    redis.call('SADD', P .. 'gm', group)
    return 1
end

-- An ordinary channel leaves: group, channel.
function ops.R(group, channel)
    return redis.call('HDEL', P .. 'g:' .. group, '#' .. channel)
end

-- Who is in a group: its nodes, and its ordinary channels with a '#'.
function ops.C(group)
    local members = redis.call('HGETALL', P .. 'g:' .. group)
    local found = {}
    for i = 1, #members, 2 do
        local lapses = string.match(members[i + 1], '^(%d+) ')
        if string.byte(members[i]) ~= 35 or tonumber(lapses) > now then found[#found + 1] = members[i] end
    end
    return found
end

-- The groups of the caller live on: TTL, groups...
function ops.O(ttl, ...)
    for _, group in ipairs({...}) do redis.call('PEXPIRE', P .. 'g:' .. group, ttl) end
    return 1
end

-- Something to a node that is neither message nor membership: node, entry.
function ops.W(node, entry)
    local log = log_of(node)
    return log and append(log, entry) or 'GONE'
end

-- An event to a socket's home: node, incarnation, entry.
-- Answer: id of the entry, id up to which the home has committed
function ops.E(node, inc, entry)
    local log = log_of(node)
    if not log or log.inc ~= inc then return 'GONE' end
    if log.drain then return 'DRAIN' end
    if is_full(log) then return 'FULL' end
    return {append(log, entry), log.pos}
end

-- From now on the caller is home of no socket.
-- Answer: id of the last entry of its log
function ops.H()
    redis.call('HSET', P .. 'n:' .. NODE, 'drain', '1')
    mine.drain = '1'
    return int(mine.ms) .. '-' .. int(mine.sq)
end

-- Claim a right that one node has: key, milliseconds.
function ops.K(key, lasts)
    return redis.call('SET', P .. 'k:' .. key, NODE, 'NX', 'PX', lasts) and 1 or 0
end
