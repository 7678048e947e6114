-- The second half of a creation, in the row's slot.
--
-- KEYS: the row, the due list, the errands, the feed if it lies in this slot.
-- ARGV: the handle, the time, five parts of the row. Returns as `insert` does.
return insert(KEYS[1], KEYS[2], KEYS[3], KEYS[4], ARGV[1], tonumber(ARGV[2]), slice(ARGV, 3))
