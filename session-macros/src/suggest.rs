//! "Did you mean …?"

/// The candidate that `written` most likely stands for, if any is near.
pub(crate) fn nearest<'a>(written: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let written = written.to_lowercase();
    candidates
        .iter()
        .copied()
        .map(|candidate| (distance(&written, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 2)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
        .or_else(|| {
            let begins =
                |candidate: &&&str| written.len() >= 2 && candidate.to_lowercase().starts_with(&written);
            candidates.iter().find(begins).copied()
        })
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    const KEYS: [&str; 4] = ["require", "max_auth_age", "check", "optional"];

    #[test]
    fn a_typing_error_or_a_beginning_finds_its_key() {
        assert_eq!(nearest("requires", &KEYS), Some("require"));
        assert_eq!(nearest("req", &KEYS), Some("require"));
        assert_eq!(nearest("max_age", &KEYS), Some("max_auth_age"));
        assert_eq!(nearest("Optional", &KEYS), Some("optional"));
    }

    #[test]
    fn a_stranger_finds_none() {
        assert_eq!(nearest("color", &KEYS), None);
        assert_eq!(nearest("x", &KEYS), None);
    }
}
