-- Take a node out of everything: its groups, its log, its keys. Needs head.lua.

local function fence(node)
    local log = log_of(node)
    redis.call('HDEL', P .. 'hb', node)
    for _, group in ipairs(redis.call('SMEMBERS', P .. 'ng:' .. node)) do
        redis.call('HDEL', P .. 'g:' .. group, node)
    end
    for _, channel in ipairs(redis.call('SMEMBERS', P .. 'nw:' .. node)) do
        redis.call('SREM', P .. 'w:' .. channel, node)
    end
    local unread = 0
    for _, waiting in ipairs(redis.call('HVALS', P .. 'cap:' .. node)) do
        unread = unread + tonumber(waiting)
    end
    count('gone', unread)
    -- Its books outlive it; what it had in hand is gone.
    local books = redis.call('HGETALL', P .. 'b:' .. node)
    for i = 1, #books, 2 do
        count(books[i] == 'pending' and 'gone' or 'past:' .. books[i], tonumber(books[i + 1]))
    end
    redis.call('DEL', P .. 'log:' .. node, P .. 'cap:' .. node, P .. 'ng:' .. node, P .. 'nw:' .. node,
        P .. 'n:' .. node, P .. 'b:' .. node)
    logs[node] = false
    return log
end
