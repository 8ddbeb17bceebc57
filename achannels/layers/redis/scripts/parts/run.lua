-- Everything that a node asks for in one turn of its loop, in order.
-- ARGV: node, incarnation, epoch, number of the batch, candidate epoch, log capacity, log bytes, then operations:
--       deadline in ms, code, number of arguments, how many operations, the arguments of the first, then the last
--       argument of each of the others, which are like it in all else
-- Answer: OK, now, sequence of the last entry of the caller's log, results...; a batch that comes again gets the answer that it got.
--         MOVING, EPOCH, FENCED, WAIT, STALE: nothing was done.

local SENDS = {D = true, G = true, Q = true}

local answer = {'OK', int(now), 0}
local i = 8
while ARGV[i] do
    local code, size, times = ARGV[i + 1], tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
    local late = now > tonumber(ARGV[i])
    local last = i + 3 + size
    local arguments = {unpack(ARGV, i + 4, last)}
    for another = 0, times - 1 do
        if late then
            answer[#answer + 1] = 'LATE'
        else
            if another > 0 then arguments[size] = ARGV[last + another] end
            if not SENDS[code] then settle() end
            answer[#answer + 1] = ops[code](unpack(arguments))
        end
    end
    i = last + times
end
settle()
write_back()
answer[3] = int(mine.sq)
redis.call('HSET', P .. 'n:' .. NODE, 'q', ARGV[4], 'qr', cmsgpack.pack(answer))
return answer
