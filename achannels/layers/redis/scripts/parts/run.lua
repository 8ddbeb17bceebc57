-- Everything that a node asks for in one turn of its loop, in order.
-- ARGV: node, incarnation, epoch, number of the batch, candidate epoch, log capacity, log bytes, then operations:
--       deadline in ms, code, number of arguments, arguments...
-- Answer: OK, now, sequence of the last entry of the caller's log, results...; a batch that comes again gets the answer that it got.
--         MOVING, EPOCH, FENCED, WAIT, STALE: nothing was done.

local SENDS = {D = true, G = true, Q = true}

local answer = {'OK', int(now), 0}
local i = 8
while ARGV[i] do
    local last = i + 2 + tonumber(ARGV[i + 2])
    if now > tonumber(ARGV[i]) then
        answer[#answer + 1] = 'LATE'
    else
        if not SENDS[ARGV[i + 1]] then known = {} end
        answer[#answer + 1] = ops[ARGV[i + 1]](unpack(ARGV, i + 3, last))
    end
    i = last + 1
end
write_back()
answer[3] = int(mine.sq)
redis.call('HSET', P .. 'n:' .. NODE, 'q', ARGV[4], 'qr', cmsgpack.pack(answer))
return answer
