-- Named channels. Needs head.lua.
--   q:<channel>  list of elements: p<expires, 14 digits><body>                a message
--                                  o<expires><length of origin, 3 digits><origin><body>
--                                                                              an event of a socket
--                                  d<id>                                       a message kept in m:
--   m:<channel>  id -> <D or N><attempt, 4 digits, 9999 at most><body>    durable, or only delayed
--   z:<channel>  id -> when it moves to the list: a delay, a retry, the end of a lease
--   l:<channel>  ids that a worker has in hand
--   w:<channel>  nodes that wait to be told of a message
--   dl:, do:     dead letters and their order

local NEVER = '00000000000000'
local NOW = string.format('%014.0f', now)

local lapses = {[''] = NEVER}

local function expires_at(after)
    lapses[after] = lapses[after] or string.format('%014.0f', now + tonumber(after))
    return lapses[after]
end

local function is_fresh(element)
    local kind = string.byte(element)
    if kind == 100 then return true end
    local expires = string.sub(element, 2, 15)
    return expires == NEVER or expires > NOW
end

-- The origin of an event: node, its incarnation and epoch, and what it calls the event; then where the body begins.
local function origin_of(element)
    local length = tonumber(string.sub(element, 16, 18))
    local node, inc, epoch, event =
        string.match(string.sub(element, 19, 18 + length), '^(%S+) (%S+) (%S+) (.*)$')
    return node, inc, epoch, event, 19 + length
end

-- An event that expired is told to the interface that waits for its fate.
local function expired(element)
    count('expired')
    if string.byte(element) == 111 then
        local node, inc, _, event = origin_of(element)
        local log = log_of(node)
        if log and log.inc == inc then append(log, 'X' .. event .. '\n') end
    end
end

-- Tell nodes that wait of so many messages.
local function poke(channel, messages)
    while messages > 0 do
        local node = redis.call('SPOP', P .. 'w:' .. channel)
        if not node then return end
        local log = log_of(node)
        if log then
            redis.call('SREM', P .. 'nw:' .. node, channel)
            append(log, 'P' .. channel .. '\n')
            messages = messages - 1
        end
    end
end

-- What is known while a batch only sends; whatever else it does settles that first.
local known = {}  -- of a channel: messages that wait, whether they are kept, whether expired ones were looked for
local pushes = {}  -- what goes to the end of its list
local groups = {}  -- who is in a group

local function push(channel, element)
    local list = pushes[channel]
    if not list then
        list = {}
        pushes[channel] = list
    end
    list[#list + 1] = element
end

local function push_now(channel)
    local list = pushes[channel]
    if not list then return end
    pushes[channel] = nil
    if redis.call('RPUSH', P .. 'q:' .. channel, unpack(list)) == #list then
        redis.call('SADD', P .. 'chs', channel)
    end
    poke(channel, #list)
end

local function settle()
    for channel in pairs(pushes) do push_now(channel) end
    known, groups = {}, {}
end

-- What is due moves to the list; returns milliseconds to the next, or nil.
local function promote(channel)
    local z = P .. 'z:' .. channel
    local nearest = redis.call('ZRANGE', z, 0, 0, 'WITHSCORES')
    if not nearest[2] then return nil end
    if tonumber(nearest[2]) > now then return tonumber(nearest[2]) - now end
    local due = redis.call('ZRANGEBYSCORE', z, '-inf', int(now), 'LIMIT', 0, 100)
    for _, id in ipairs(due) do
        redis.call('ZREM', z, id)
        if redis.call('SREM', P .. 'l:' .. channel, id) == 1 then
            local kept = redis.call('HGET', P .. 'm:' .. channel, id)
            if kept then
                local attempt = tonumber(string.sub(kept, 2, 5)) + 1
                redis.call('HSET', P .. 'm:' .. channel, id,
                    string.sub(kept, 1, 1) .. string.format('%04d', math.min(attempt, 9999)) .. string.sub(kept, 6))
            end
        end
        redis.call('RPUSH', P .. 'q:' .. channel, 'd' .. id)
    end
    nearest = redis.call('ZRANGE', z, 0, 0, 'WITHSCORES')
    if nearest[2] then return math.max(1, tonumber(nearest[2]) - now) end
end

-- Drop what has expired anywhere in the list; returns how many plain messages wait.
local function look(channel)
    promote(channel)
    local q = P .. 'q:' .. channel
    local elements = redis.call('LRANGE', q, 0, -1)
    local plain, stale = 0, 0
    for _, element in ipairs(elements) do
        if not is_fresh(element) then
            stale = stale + 1
            expired(element)
        elseif string.byte(element) ~= 100 then
            plain = plain + 1
        end
    end
    if stale > 0 then
        redis.call('DEL', q)
        for _, element in ipairs(elements) do
            if is_fresh(element) then redis.call('RPUSH', q, element) end
        end
    end
    if #elements == stale and redis.call('EXISTS', P .. 'm:' .. channel) == 0 then
        redis.call('SREM', P .. 'chs', channel)
    end
    return plain
end

local function waiting(channel)
    local length = redis.call('LLEN', P .. 'q:' .. channel)
    local delayed = redis.call('ZCARD', P .. 'z:' .. channel)
    if delayed > 0 then delayed = delayed - redis.call('SCARD', P .. 'l:' .. channel) end
    return length + delayed
end

local function has_room(channel, capacity)
    local here = known[channel]
    if not here then
        here = {
            waiting = waiting(channel),
            durable = redis.call('SISMEMBER', P .. 'durable', channel) == 1,
        }
        known[channel] = here
    end
    if here.waiting >= capacity then
        if here.looked then return false end
        push_now(channel)
        look(channel)
        here.looked = true
        here.waiting = waiting(channel)
        if here.waiting >= capacity then return false end
    end
    here.waiting = here.waiting + 1
    return true
end

-- Keep a message under an id, and make it ready now or later.
local function keep(channel, kind, attempt, body, delay)
    local id = int(redis.call('HINCRBY', META, 'id', 1))
    redis.call('HSET', P .. 'm:' .. channel, id, kind .. string.format('%04d', math.min(attempt, 9999)) .. body)
    redis.call('SADD', P .. 'chs', channel)
    if delay > 0 then
        redis.call('ZADD', P .. 'z:' .. channel, int(now + delay), id)
        poke(channel, 1)
    else
        push(channel, 'd' .. id)
    end
    return id
end

-- Put a message of a group into a channel that is its member.
local function post(channel, capacity, expiry, body)
    count('accepted')
    if has_room(channel, capacity) then
        push(channel, 'p' .. expires_at(expiry) .. body)
    else
        count('full')
    end
end
