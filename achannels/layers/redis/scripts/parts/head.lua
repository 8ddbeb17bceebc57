-- The beginning of every script. KEYS[1] is the shard's "meta" hash; all other keys are built from it.
-- ARGV: node, incarnation, epoch, ...

local P = string.sub(KEYS[1], 1, -5)
local META = KEYS[1]
local NODE, INC, EPOCH = ARGV[1], ARGV[2], ARGV[3]

-- A slot that moves answers with an error for a key that does not exist: nothing was done yet.
local probe = redis.pcall('EXISTS', P .. 'probe')
if type(probe) == 'table' and probe.err then return {'MOVING'} end

local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000 + math.floor(tonumber(clock[2]) / 1000)

local function int(number) return string.format('%.0f', number) end

local function sequence(id) return tonumber(string.match(id, '-(%d+)$')) end

-- What a node has goes with its registration, should all nodes die before the next renewal.
local function mortal(kind, node)
    local left = redis.call('PTTL', P .. 'n:' .. node)
    redis.call('PEXPIRE', P .. kind .. node, math.max(left, 1), 'NX')
end

local added = {}

-- Counts in the shard's books; written once by `write_back`.
local function count(name, by)
    added[name] = (added[name] or 0) + (by or 1)
end

local logs = {}

-- The log of a node, or false when the node is not alive. Loaded once per call.
local function log_of(node)
    local log = logs[node]
    if log == nil then
        local found = redis.call('HMGET', P .. 'n:' .. node, 'inc', 'sq', 'ms', 'bytes', 'drain', 'pos', 'own', 'q')
        log = false
        if found[1] then
            log = {
                key = P .. 'log:' .. node,
                inc = found[1],
                sq = tonumber(found[2]),
                ms = tonumber(found[3]),
                bytes = tonumber(found[4]),
                drain = found[5],
                pos = found[6],
                own = found[7],
                batch = found[8],
            }
        end
        logs[node] = log
    end
    return log
end

-- Ids count up by one, so that a reader sees every hole; their time never steps back.
local function append(log, entry)
    log.sq = log.sq + 1
    log.ms = math.max(log.ms, now)
    log.bytes = log.bytes + #entry
    if log.length then log.length = log.length + 1 end
    log.id = string.format('%.0f-%.0f', log.ms, log.sq)
    log.written = true
    redis.call('XADD', log.key, log.id, 'e', entry)
    return log.id
end

local function write_back()
    for node, log in pairs(logs) do
        if log and log.written then
            redis.call('HSET', P .. 'n:' .. node, 'sq', int(log.sq), 'ms', int(log.ms), 'bytes', int(log.bytes))
        end
    end
    for name, by in pairs(added) do
        if by ~= 0 then redis.call('HINCRBY', META, name, int(by)) end
    end
end

-- Redis lost its data, or went back in time: everybody registers anew, and sends wait until they have.
-- In milliseconds: more than a node waits between two tries, or reads without an answer.
local GRACE = 650
local function begin_epoch(candidate)
    redis.call('HSET', META, 'epoch', candidate, 'grace', int(now + GRACE))
    return {'EPOCH'}
end
