-- Writes rows that were decided on elsewhere, if each is still what the decision was made on.
--
-- KEYS: the rows, their due list, their errands, the note that this was done, the feed if it lies in this slot.
-- ARGV: the handle of a session that ends after the first row, or ''; whether to leave the note; then for each row what it was or
-- '', what it is to be, and its handle. Returns the time; also what is in the first row's place, if a row is not what it was.
local at = now()
local count = (#ARGV - 2) / 3
local due, errands, note, feed = KEYS[count + 1], KEYS[count + 2], KEYS[count + 3], KEYS[count + 4]
for place = 1, count do
  if (redis.call('GET', KEYS[place]) or '') ~= ARGV[3 * place] then
    -- The same request, sent again because its answer was lost.
    if redis.call('EXISTS', note) == 1 then
      return { at }
    end
    return { at, redis.call('GET', KEYS[1]) }
  end
end
for place = 1, count do
  local old, new, handle = ARGV[3 * place], ARGV[3 * place + 1], ARGV[3 * place + 2]
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
if ARGV[2] == '1' then
  redis.call('SET', note, '', 'PX', 60000)
end
if ARGV[1] ~= '' then
  redis.call('HSET', errands, 'replaced:' .. ARGV[1], struct.pack('>I8', at))
end
return { at }
