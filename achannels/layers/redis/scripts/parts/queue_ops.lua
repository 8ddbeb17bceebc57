-- Operations on named channels. Needs queue.lua and log_ops.lua.

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

local function lend(channel, id, lease)
    redis.call('ZADD', P .. 'z:' .. channel, int(now + tonumber(lease)), id)
    redis.call('SADD', P .. 'l:' .. channel, id)
end

-- What a taker gets: channel, id of a durable message, attempt, expires, origin, body.
local function hand_over(channel, element, durable, lease, incs)
    local kind = string.byte(element)
    if kind == 100 then
        local id = string.sub(element, 2)
        local kept = redis.call('HGET', P .. 'm:' .. channel, id)
        if not kept then return nil end
        local attempt, body = tonumber(string.sub(kept, 2, 5)), string.sub(kept, 6)
        if string.byte(kept) == 78 and not durable then
            redis.call('HDEL', P .. 'm:' .. channel, id)
            count('taken')
            return {channel, '', attempt, NEVER, '', body}
        end
        if string.byte(kept) == 78 then
            redis.call('HSET', P .. 'm:' .. channel, id, 'D' .. string.sub(kept, 2))
        end
        lend(channel, id, lease)
        return {channel, id, attempt, NEVER, '', body}
    end
    if not is_fresh(element) then
        expired(element)
        return nil
    end
    local expires, origin, from = string.sub(element, 2, 15), '', 16
    if kind == 111 then
        local node, inc, epoch, event, start = origin_of(element)
        local log = log_of(node)
        local alive = log and log.inc == inc
        -- What a dead interface offered goes with it, but for its disconnects; what the data of an older
        -- time brought back was taken before.
        if epoch ~= EPOCH or not alive and expires ~= NEVER then
            count('gone')
            return nil
        end
        if alive then append(log, 'H' .. event .. ' ' .. NODE .. ' ' .. incs .. '\n') end
        origin, from = node .. ' ' .. event .. (alive and ' 1 ' or ' 0 ') .. incs, start
    end
    local body = string.sub(element, from)
    if durable and kind == 112 then
        local id = int(redis.call('HINCRBY', META, 'id', 1))
        redis.call('HSET', P .. 'm:' .. channel, id, 'D0001' .. body)
        redis.call('SADD', P .. 'chs', channel)
        lend(channel, id, lease)
        return {channel, id, 1, NEVER, '', body}
    end
    count('taken')
    return {channel, '', 1, expires, origin, body}
end

local function take_one(channel, durable, lease, incs)
    while true do
        local element = redis.call('LPOP', P .. 'q:' .. channel)
        if not element then return nil end
        local message = hand_over(channel, element, durable, lease, incs)
        if message then return message end
    end
end

-- Take: free slots, lease in milliseconds, 1 if others of the caller wait too, the caller's incarnations in all
-- shards, then for each channel its name and "1" if its consumer is durable, "0" if it is not, "" if nothing is known of it. Channels take turns.
-- Answer: milliseconds until the next is due, or -1; 1 if more wait; then each message
function ops.T(slots, lease, others, incs, ...)
    local wanted = {...}
    local answer = {-1, 0}
    local open = {}
    slots = tonumber(slots)
    for i = 1, #wanted, 2 do
        local channel, durable = wanted[i], wanted[i + 1]
        if durable == '1' then
            redis.call('SADD', P .. 'durable', channel)
        elseif durable == '0' then
            redis.call('SREM', P .. 'durable', channel)
        end
        local due = promote(channel)
        if due and (answer[1] < 0 or due < answer[1]) then answer[1] = due end
        open[#open + 1] = i
    end
    while slots > 0 and #open > 0 do
        local still = {}
        for _, i in ipairs(open) do
            local message = slots > 0 and take_one(wanted[i], wanted[i + 1] == '1', lease, incs)
            if message then
                answer[#answer + 1] = message
                slots = slots - 1
                still[#still + 1] = i
            end
        end
        open = still
    end
    if slots == 0 then
        for i = 1, #wanted, 2 do
            if redis.call('LLEN', P .. 'q:' .. wanted[i]) > 0 then answer[2] = 1 end
        end
    end
    if #answer == 2 or others == '1' then
        for i = 1, #wanted, 2 do
            redis.call('SADD', P .. 'w:' .. wanted[i], NODE)
            redis.call('SADD', P .. 'nw:' .. NODE, wanted[i])
            mortal('nw:', NODE)
        end
    end
    return answer
end

-- Give back what was taken and reached nobody: channel, expires, body.
function ops.U(channel, expires, body)
    count('taken', -1)
    redis.call('LPUSH', P .. 'q:' .. channel, 'p' .. expires .. body)
    redis.call('SADD', P .. 'chs', channel)
    poke(channel)
    return 1
end

-- Give back a durable message: channel, id.
function ops.u(channel, id)
    redis.call('ZREM', P .. 'z:' .. channel, id)
    if redis.call('SREM', P .. 'l:' .. channel, id) == 1 then
        redis.call('LPUSH', P .. 'q:' .. channel, 'd' .. id)
        poke(channel)
    end
    return 1
end

-- The caller was told of a message and has nobody who waits: channel.
function ops.P(channel)
    if redis.call('LLEN', P .. 'q:' .. channel) > 0 then poke(channel) end
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
        string.sub(kept, 1, 1) .. string.format('%04d', tonumber(attempt) + 1) .. string.sub(kept, 6))
    redis.call('SREM', P .. 'l:' .. channel, id)
    if tonumber(delay) > 0 then
        redis.call('ZADD', P .. 'z:' .. channel, int(now + tonumber(delay)), id)
        poke(channel)
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

-- The dead letters of a channel, oldest first: channel, limit.
function ops.V(channel, limit)
    local found = {}
    for _, id in ipairs(redis.call('LRANGE', P .. 'do:' .. channel, 0, tonumber(limit) - 1)) do
        found[#found + 1] = {id, redis.call('HGET', P .. 'dl:' .. channel, id)}
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
