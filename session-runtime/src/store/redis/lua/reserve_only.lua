-- The first half of a creation, in the user's slot.
--
-- KEYS: the user's sessions, the user's mark, the errands. ARGV: the handle, the room. Returns as `reserve` does.
return reserve(KEYS[1], KEYS[2], KEYS[3], ARGV[1], slice(ARGV, 2))
