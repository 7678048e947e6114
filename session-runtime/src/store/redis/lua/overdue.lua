-- KEYS: the errands. ARGV: the age from which on one is taken for abandoned.
-- Returns each that is: its name, when it was begun, and what it is about.
local answer, at = {}, now()
local errands = redis.call('HGETALL', KEYS[1])
for place = 1, #errands, 2 do
  local begun_at = struct.unpack('>I8', errands[place + 1])
  if begun_at + tonumber(ARGV[1]) <= at then
    extend(answer, { errands[place], begun_at, string.sub(errands[place + 1], 9) })
  end
end
return answer
