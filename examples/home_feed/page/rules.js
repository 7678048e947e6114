// The rules of the rotation, as the server's decisions name them.

const RULES = {
  1: ["Unauthorised", "There is no session to refresh: it ended or expired."],
  2: ["RollForward", "The server had lost a write; the token proves that it was issued, and the session goes on from it."],
  3: ["Theft", "Two lines of tokens reached one generation: one of them is a thief's. The session ends."],
  4: ["Keep", "Rotated less than 3G ago: a new access token; the refresh token stays."],
  5: ["Rotate", "The ordinary case: the refresh token is spent, and a new pair is sent."],
  6: ["Late", "A predecessor, within G of its successor's first use: another tab's request, sent before the successor arrived. A short access token, nothing more."],
  7: ["Theft", "A predecessor, long after its successor came into use: who has the successor no longer sends it. The session ends."],
  8: ["Replay", "A predecessor whose successor nobody has used, within G: the answer was lost. The same successor again."],
  9: ["Quiet", "The same, within 3G: the successor may still be arriving, so it is neither repeated nor replaced. A short access token."],
  10: ["Reissue", "The same, later: the answer is lost for good. A new successor; the lost one is dead."],
  11: ["Theft", "A token superseded twice, or of a dead branch. The session ends."],
  12: ["NonceMissing", "A bound client's token, without a nonce: refused, and nothing changes."],
  13: ["Replay", "A bound client's predecessor, with the nonce of its exchange: the same client, however late. The same successor again."],
  14: ["Theft", "A bound client's predecessor, with another nonce: two clients have one token. The session ends."],
  15: ["Replay", "As 13, one step further back."],
};

const THEFTS = {
  superseded: "Theft, by rule 7: a refresh token was presented long after its successor came into use. Two clients hold tokens of one session. Both are out.",
  fork: "Theft, by rule 3 or 11: a refresh token outside the chain was presented. Two clients hold tokens of one session. Both are out.",
  otherNonce: "Theft, by rule 14: a bound client's refresh token came with another nonce. Two clients hold tokens of one session. Both are out.",
  deadBranch: "Theft: an access token of a dead branch was used. Both are out.",
};

const ENDS = {
  logout: "The user logged out: the session ended.",
  revoked: "The session was revoked from another device.",
  replaced: "A new login took the place of the session.",
  evicted: "The user had too many sessions; this one made room.",
};

/** The rules as `[number, name, sentence]`. */
export const allRules = () => Object.entries(RULES).map(([number, [name, sentence]]) => [number, name, sentence]);

export const ruleName = (rule) => RULES[rule]?.[0] ?? "";

/** A decision in a sentence. */
export function sentence({ decision, rule, because }) {
  switch (decision) {
    case "created":
      return "A session was made.";
    case "otherClient":
      return `Rule ${rule} was met by another client than before: worth a look, not yet a proof.`;
    case "theft":
      return THEFTS[because] ?? "Theft: a refresh token was stolen. Both are out.";
    case "ended":
      return ENDS[because] ?? "The session ended.";
    case "expired":
      return "The session expired.";
    default:
      return `Rule ${rule}, ${ruleName(rule)}. ${RULES[rule]?.[1] ?? ""}`;
  }
}
