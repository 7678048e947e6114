-- Makes a session whose user and whose row lie in one slot.
--
-- KEYS: the user's sessions, the user's mark, the errands, the row, the due list, the feed if it lies in this slot.
-- ARGV: the handle, five parts of the row, the room. Returns as `reserve` does, or 'made', the time and handles to evict.
local handle, parts, room = ARGV[1], slice(ARGV, 2, 6), slice(ARGV, 7)
local function insert_at(at)
  return insert(KEYS[4], KEYS[5], KEYS[3], KEYS[6], handle, at, parts)
end
-- Before anybody's session is ended for it.
if is_row(redis.call('GET', KEYS[4])) then
  return insert_at(now())
end
local place = reserve(KEYS[1], KEYS[2], KEYS[3], handle, room)
if place[1] == 'reserved' then
  place[1] = insert_at(place[2])[1]
end
return place
