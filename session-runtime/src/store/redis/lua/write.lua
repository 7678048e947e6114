-- Writes a row that was decided on elsewhere, if it is still what the decision was made on.
--
-- KEYS: the row, its due list, its errands, the feed if it lies in this slot.
-- ARGV: the row as it was or '', the row to be, its handle, the handle of the session that ends with it or ''.
-- Returns the time; also the row as it is or nothing, if it is another.
local at = now()
local row = redis.call('GET', KEYS[1])
if (row or '') ~= ARGV[1] then
  return { at, row }
end
local new, handle, replaced = ARGV[2], ARGV[3], ARGV[4]
if is_row(new) then
  keep(KEYS[1], new)
  if has_ended(new) and not has_ended(ARGV[1]) then
    redis.call('ZADD', KEYS[2], decimal(at), handle)
    publish_end(new, handle, at, KEYS[3], KEYS[4])
  end
else
  redis.call('SET', KEYS[1], new, 'PX', decimal(DAY))
end
if replaced ~= '' then
  redis.call('HSET', KEYS[3], 'replaced:' .. replaced, struct.pack('>I8', at))
end
return { at }
