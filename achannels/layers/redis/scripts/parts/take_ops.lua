-- Taking messages from channels. Needs queue.lua.

-- Events of sockets for one taker at a time: it keeps the sockets, so those that come at once are dealt out.
local EVENTS = 8

local function lend(channel, id, lease)
    redis.call('ZADD', P .. 'z:' .. channel, int(now + tonumber(lease)), id)
    redis.call('SADD', P .. 'l:' .. channel, id)
end

-- A message that is kept, as a taker gets it: id if it is durable, attempt, expires, origin, body.
local function hand_over_kept(channel, id, durable, lease)
    local kept = redis.call('HGET', P .. 'm:' .. channel, id)
    if not kept then return nil end
    local attempt, body = tonumber(string.sub(kept, 2, 5)), string.sub(kept, 6)
    if string.byte(kept) == 78 then
        if not durable then
            redis.call('HDEL', P .. 'm:' .. channel, id)
            count('taken')
            return {'', attempt, NEVER, '', body}
        end
        redis.call('HSET', P .. 'm:' .. channel, id, 'D' .. string.sub(kept, 2))
    end
    lend(channel, id, lease)
    return {id, attempt, NEVER, '', body}
end

-- An event of a socket, as a taker gets it.
local function hand_over_event(element, incs)
    local expires = string.sub(element, 2, 15)
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
    count('taken')
    return {'', 1, expires, node .. ' ' .. event .. (alive and ' 1 ' or ' 0 ') .. incs, string.sub(element, start)}
end

-- What a taker gets: a plain message as it is in the list, all else as a table; nil when nothing is left of it.
local function hand_over(channel, element, durable, lease, incs)
    local kind = string.byte(element)
    if kind == 100 then return hand_over_kept(channel, string.sub(element, 2), durable, lease) end
    if not is_fresh(element) then
        expired(element)
        return nil
    end
    if kind == 111 then return hand_over_event(element, incs) end
    if not durable then
        count('taken')
        return element
    end
    local id, body = int(redis.call('HINCRBY', META, 'id', 1)), string.sub(element, 16)
    redis.call('HSET', P .. 'm:' .. channel, id, 'D0001' .. body)
    redis.call('SADD', P .. 'chs', channel)
    lend(channel, id, lease)
    return {id, 1, NEVER, '', body}
end

-- Take up to so many messages; returns whether there may be more.
local function take_some(channel, slots, durable, lease, incs, messages)
    local wanted = #messages + slots
    while #messages < wanted do
        local asked = wanted - #messages
        local elements = redis.call('LPOP', P .. 'q:' .. channel, asked) or {}
        for _, element in ipairs(elements) do
            messages[#messages + 1] = hand_over(channel, element, durable, lease, incs)
        end
        if #elements < asked then return false end
    end
    return true
end

-- Take: free slots, lease in milliseconds, 1 if others of the caller wait too, the caller's incarnations in all
-- shards, then for each channel its name and "1" if its consumer is durable, "0" if it is not, "" if nothing is known of it.
-- Channels take turns.
-- Answer: milliseconds until the next is due, or -1; 1 if more wait; then for each channel its messages
function ops.T(slots, lease, others, incs, ...)
    local wanted = {...}
    local answer = {-1, 0}
    local open = {}
    local free = tonumber(slots)
    for i = 1, #wanted, 2 do
        local channel, durable = wanted[i], wanted[i + 1]
        if durable == '1' then
            redis.call('SADD', P .. 'durable', channel)
        elseif durable == '0' then
            redis.call('SREM', P .. 'durable', channel)
        end
        local due = promote(channel)
        if due and (answer[1] < 0 or due < answer[1]) then answer[1] = due end
        local first = redis.call('LRANGE', P .. 'q:' .. channel, 0, 0)[1]
        if first and string.byte(first) == 111 then free = math.min(free, EVENTS) end
        answer[#answer + 1] = {}
        open[#open + 1] = i
    end
    local taken = 0
    while free > 0 and #open > 0 do
        local still, share = {}, math.max(1, math.floor(free / #open))
        for _, i in ipairs(open) do
            local messages = answer[2 + (i + 1) / 2]
            local before = #messages
            if free > 0 and take_some(wanted[i], math.min(share, free), wanted[i + 1] == '1', lease, incs, messages) then
                still[#still + 1] = i
            end
            free = free - (#messages - before)
            taken = taken + (#messages - before)
        end
        open = still
    end
    if free == 0 then
        for i = 1, #wanted, 2 do
            if redis.call('LLEN', P .. 'q:' .. wanted[i]) > 0 then answer[2] = 1 end
        end
    end
    if taken == 0 or others == '1' then
        for i = 1, #wanted, 2 do
            redis.call('SADD', P .. 'w:' .. wanted[i], NODE)
            redis.call('SADD', P .. 'nw:' .. NODE, wanted[i])
        end
        mortal('nw:', NODE)
    end
    return answer
end
