-- Other operations on named channels. Needs send_ops.lua and take_ops.lua.

local function forget(channel, id)
    redis.call('ZREM', P .. 'z:' .. channel, id)
    redis.call('SREM', P .. 'l:' .. channel, id)
    return redis.call('HDEL', P .. 'm:' .. channel, id)
end

-- Give back what was taken and reached nobody: channel, expires, body.
function ops.U(channel, expires, body)
    count('taken', -1)
    redis.call('LPUSH', P .. 'q:' .. channel, 'p' .. expires .. body)
    redis.call('SADD', P .. 'chs', channel)
    poke(channel, 1)
    return 1
end

-- Give back a durable message, which was not tried: channel, delay, id.
function ops.u(channel, delay, id)
    if redis.call('SREM', P .. 'l:' .. channel, id) == 0 then return 1 end
    if tonumber(delay) > 0 then
        redis.call('ZADD', P .. 'z:' .. channel, int(now + tonumber(delay)), id)
    else
        redis.call('ZREM', P .. 'z:' .. channel, id)
        redis.call('LPUSH', P .. 'q:' .. channel, 'd' .. id)
    end
    poke(channel, 1)
    return 1
end

-- The caller was told of a message and has nobody who waits: channel.
function ops.P(channel)
    if redis.call('LLEN', P .. 'q:' .. channel) > 0 then poke(channel, 1) end
    return 1
end

-- Nobody of the caller waits any more: channels...
function ops.p(...)
    for _, channel in ipairs({...}) do
        redis.call('SREM', P .. 'w:' .. channel, NODE)
        redis.call('SREM', P .. 'nw:' .. NODE, channel)
    end
    return 1
end

local function is_current(channel, id, attempt)
    local kept = redis.call('HGET', P .. 'm:' .. channel, id)
    return kept and tonumber(string.sub(kept, 2, 5)) == tonumber(attempt)
        and redis.call('SISMEMBER', P .. 'l:' .. channel, id) == 1 and kept
end

-- A durable message was handled: channel, id. Whoever says so is right.
function ops.A(channel, id)
    if forget(channel, id) == 0 then return 0 end
    count('delivered')
    return 1
end

-- It is still being handled: channel, id, attempt, lease.
function ops.l(channel, id, attempt, lease)
    if not is_current(channel, id, attempt) then return 0 end
    redis.call('ZADD', P .. 'z:' .. channel, int(now + tonumber(lease)), id)
    return 1
end

-- It shall be tried again: channel, id, attempt, delay.
function ops.a(channel, id, attempt, delay)
    local kept = is_current(channel, id, attempt)
    if not kept then return 0 end
    redis.call('HSET', P .. 'm:' .. channel, id,
        string.sub(kept, 1, 1) .. string.format('%04d', math.min(tonumber(attempt) + 1, 9999)) .. string.sub(kept, 6))
    redis.call('SREM', P .. 'l:' .. channel, id)
    if tonumber(delay) > 0 then
        redis.call('ZADD', P .. 'z:' .. channel, int(now + tonumber(delay)), id)
        poke(channel, 1)
    else
        redis.call('ZREM', P .. 'z:' .. channel, id)
        push(channel, 'd' .. id)
    end
    return 1
end

-- A message that was taken and is not durable shall be tried again: channel, attempt, delay, body.
function ops.B(channel, attempt, delay, body)
    count('taken', -1)
    keep(channel, 'N', tonumber(attempt), body, tonumber(delay))
    return 1
end

-- A durable message is given up: channel, id, attempt, count as, letters to keep, reason.
function ops.X(channel, id, attempt, counted, limit, reason)
    local kept = is_current(channel, id, attempt)
    if not kept then return 0 end
    forget(channel, id)
    count(counted)
    redis.call('HSET', P .. 'dl:' .. channel, id, int(tonumber(attempt)) .. ' ' .. int(now) .. ' ' .. #reason .. ' ' .. reason .. string.sub(kept, 6))
    if redis.call('RPUSH', P .. 'do:' .. channel, id) > tonumber(limit) then
        redis.call('HDEL', P .. 'dl:' .. channel, redis.call('LPOP', P .. 'do:' .. channel))
    end
    redis.call('SADD', P .. 'dls', channel)
    return 1
end

-- The dead letters of a channel, oldest first: channel, how many to skip, limit, bytes after which the answer ends.
function ops.V(channel, skipped, limit, bytes)
    local found, size = {}, 0
    for _, id in ipairs(redis.call('LRANGE', P .. 'do:' .. channel, skipped, skipped + limit - 1)) do
        if size >= tonumber(bytes) then break end
        local letter = redis.call('HGET', P .. 'dl:' .. channel, id)
        found[#found + 1] = {id, letter}
        size = size + #(letter or '')
    end
    return found
end

local function drop_letter(channel, id)
    redis.call('LREM', P .. 'do:' .. channel, 1, id)
    if redis.call('EXISTS', P .. 'do:' .. channel) == 0 then redis.call('SREM', P .. 'dls', channel) end
    return redis.call('HDEL', P .. 'dl:' .. channel, id)
end

ops.Y = drop_letter

-- A dead letter is sent again: channel, id, capacity.
function ops.Z(channel, id, capacity)
    local letter = redis.call('HGET', P .. 'dl:' .. channel, id)
    if not letter then return 0 end
    if not has_room(channel, tonumber(capacity)) then return 'FULL' end
    local length, rest = string.match(letter, '^%d+ %d+ (%d+) (.*)$')
    drop_letter(channel, id)
    count('accepted')
    keep(channel, 'D', 1, string.sub(rest, tonumber(length) + 1), 0)
    return 1
end

-- Everything that waits is dropped, and all memberships end.
function ops.F()
    for _, channel in ipairs(redis.call('SMEMBERS', P .. 'chs')) do
        local kept = redis.call('HLEN', P .. 'm:' .. channel) - redis.call('SCARD', P .. 'l:' .. channel)
        count('rejected', look(channel) + kept)
        redis.call('DEL', P .. 'q:' .. channel)
        for _, id in ipairs(redis.call('HKEYS', P .. 'm:' .. channel)) do
            if redis.call('SISMEMBER', P .. 'l:' .. channel, id) == 0 then forget(channel, id) end
        end
        if redis.call('EXISTS', P .. 'm:' .. channel) == 0 then redis.call('SREM', P .. 'chs', channel) end
    end
    for _, channel in ipairs(redis.call('SMEMBERS', P .. 'dls')) do
        redis.call('DEL', P .. 'dl:' .. channel, P .. 'do:' .. channel)
    end
    redis.call('DEL', P .. 'dls')
    for _, group in ipairs(redis.call('SMEMBERS', P .. 'gm')) do redis.call('DEL', P .. 'g:' .. group) end
    redis.call('DEL', P .. 'gm')
    for _, node in ipairs(redis.call('HKEYS', P .. 'hb')) do
        for _, group in ipairs(redis.call('SMEMBERS', P .. 'ng:' .. node)) do redis.call('DEL', P .. 'g:' .. group) end
        redis.call('DEL', P .. 'ng:' .. node)
        local log = log_of(node)
        if log then append(log, 'F\n') end
    end
    return int(mine.ms) .. '-' .. int(mine.sq)
end

-- The books of the shard, then those of each node but the caller.
-- Answer: id up to which the caller has committed, messages that wait, name, number, ...
function ops.S()
    local pending = 0
    for _, channel in ipairs(redis.call('SMEMBERS', P .. 'chs')) do
        pending = pending + look(channel) + redis.call('HLEN', P .. 'm:' .. channel)
    end
    local answer = {mine.pos, 0}
    for _, node in ipairs(redis.call('HKEYS', P .. 'hb')) do
        for _, held in ipairs(redis.call('HVALS', P .. 'cap:' .. node)) do pending = pending + tonumber(held) end
        if node ~= NODE then
            local books = redis.call('HGETALL', P .. 'b:' .. node)
            for i = 1, #books, 2 do
                answer[#answer + 1] = 'past:' .. books[i]
                answer[#answer + 1] = books[i + 1]
            end
        end
    end
    answer[2] = pending
    write_back()
    added = {}
    local books = redis.call('HGETALL', META)
    for i = 1, #books, 2 do
        if books[i] ~= 'epoch' then
            answer[#answer + 1] = books[i]
            answer[#answer + 1] = books[i + 1]
        end
    end
    return answer
end
