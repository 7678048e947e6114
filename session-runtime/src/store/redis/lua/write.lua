-- Writes rows that were decided on elsewhere, if each is still what the decision was made on.
--
-- KEYS: the rows, their due list, their errands, the feed if it lies in this slot.
-- ARGV: the handle of a session in another slot that ends with the first row, or ''; then for each row what it was or '', what it
-- is to be, and its handle. Returns the time; also what is in the first row's place, if a row is not what it was.
local at = now()
local count = (#ARGV - 1) / 3
local due, errands, feed = KEYS[count + 1], KEYS[count + 2], KEYS[count + 3]
for place = 1, count do
  if (redis.call('GET', KEYS[place]) or '') ~= ARGV[3 * place - 1] then
    return { at, redis.call('GET', KEYS[1]) }
  end
end
for place = 1, count do
  local old, new, handle = ARGV[3 * place - 1], ARGV[3 * place], ARGV[3 * place + 1]
  if is_row(new) then
    keep(KEYS[place], new)
    if has_ended(new) and not has_ended(old) then
      redis.call('ZADD', due, decimal(at), handle)
      publish_end(new, handle, at, errands, feed)
    end
  else
    redis.call('SET', KEYS[place], new, 'PX', decimal(DAY))
  end
end
if ARGV[1] ~= '' then
  redis.call('HSET', errands, 'replaced:' .. ARGV[1], struct.pack('>I8', at))
end
return { at }
