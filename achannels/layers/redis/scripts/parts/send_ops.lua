-- Operations that send: to sockets, groups and channels. Needs queue.lua.

local function is_full(log)
    log.length = log.length or redis.call('XLEN', log.key)
    return log.length >= LOG_CAPACITY or log.bytes >= LOG_BYTES
end

-- A message to a socket: node, local part, capacity, entry.
function ops.D(node, part, capacity, entry)
    local log = log_of(node)
    if not log then
        count('accepted')
        count('gone')
        return 'GONE'
    end
    if is_full(log) then return 'FULL' end
    local cap = P .. 'cap:' .. node
    local held = redis.call('HINCRBY', cap, part, 1)
    if held == 1 then mortal('cap:', node) end
    if held > tonumber(capacity) then
        redis.call('HINCRBY', cap, part, -1)
        return 'FULL'
    end
    append(log, entry)
    count('accepted')
    return 1
end

-- A message to a group: group, head of the entry, body. One entry for each node with members; a node whose log is
-- full gets a hole that it will notice, and counts once.
function ops.G(group, head, body)
    local members = groups[group] or redis.call('HGETALL', P .. 'g:' .. group)
    groups[group] = members
    local entry = head .. body
    for i = 1, #members, 2 do
        local member = members[i]
        if string.byte(member) == 35 then
            local lapses, capacity, expiry = string.match(members[i + 1], '^(%d+) (%d+) (%d+)$')
            if tonumber(lapses) <= now then
                redis.call('HDEL', P .. 'g:' .. group, member)
            else
                post(string.sub(member, 2), tonumber(capacity), expiry, body)
            end
        else
            local log = log_of(member)
            if not log then
                redis.call('HDEL', P .. 'g:' .. group, member)
            elseif is_full(log) then
                log.sq = log.sq + 1
                log.written = true
                count('accepted')
                count('full')
            else
                append(log, entry)
            end
        end
    end
    return 1
end

-- Send: channel, capacity, milliseconds to live or "", delay, "1" for durable, origin, body.
function ops.Q(channel, capacity, expiry, delay, durable, origin, body)
    if not has_room(channel, tonumber(capacity)) then return 'FULL' end
    count('accepted')
    delay = tonumber(delay)
    if origin ~= '' then
        push(channel, 'o' .. expires_at(expiry) .. string.format('%03d', #origin) .. origin .. body)
    elseif durable == '1' or known[channel].durable then
        keep(channel, 'D', 1, body, delay)
    elseif delay > 0 then
        keep(channel, 'N', 1, body, delay)
    else
        push(channel, 'p' .. expires_at(expiry) .. body)
    end
    return 1
end
