-- Begins the end of a user's sessions: whatever is made from now on is younger than the mark.
--
-- KEYS: the user's sessions, the user's mark, the errands.
-- ARGV: the user, how they end, the handle that is left out or ''. Returns the mark, the errand, and the handles to end.
local last = redis.call('ZRANGE', KEYS[1], -1, -1, 'WITHSCORES')
local at = now()
local mark = math.max(at, math.floor(tonumber(last[2] or 0) / 1000))
local errand = 'all:' .. decimal(mark) .. ':' .. ARGV[3] .. ':' .. ARGV[1]
if ARGV[3] == '' then
  redis.call('SET', KEYS[2], decimal(mark), 'PX', decimal(DAY))
end
redis.call('HSET', KEYS[3], errand, struct.pack('>I8', at) .. ARGV[2])
return extend({ mark, errand }, redis.call('ZRANGE', KEYS[1], 0, -1))
