//! What people type to find somebody.

/// The words that are looked for: each must be found, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

impl Words {
    /// The words of a text, each once. Digits that follow each other are one phone number, however they are set apart.
    pub fn of(text: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        let mut number: Option<String> = None;
        for word in text.split_whitespace() {
            match (digits(word), &mut number) {
                (Some(digits), Some(number)) => *number += &digits,
                (Some(digits), None) => number = Some(digits),
                (None, _) => {
                    words.extend(number.take());
                    words.push(word.to_owned());
                }
            }
        }
        words.extend(number);
        words.sort_unstable();
        words.dedup();
        Self(words)
    }

    /// As a column for SQL.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

/// The digits of a word that could be of a phone number.
fn digits(word: &str) -> Option<String> {
    let is_of_number = word.chars().all(|letter| letter.is_ascii_digit() || "+-()./".contains(letter));
    let digits: String = word.chars().filter(char::is_ascii_digit).collect();
    (is_of_number && !digits.is_empty()).then_some(digits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        Words::of(text).0
    }

    #[test]
    fn words_are_what_stands_between_spaces_each_once() {
        assert_eq!(words("  Silva\u{a0}Ana Silva "), ["Ana", "Silva"]);
        assert_eq!(words("pat p1 o'neil 100%_ -"), ["-", "100%_", "o'neil", "p1", "pat"]);
    }

    #[test]
    fn a_phone_number_is_its_digits_however_it_is_written() {
        for text in ["+351 910 000 201", "+351910000201", "(351) 910-000-201", "351.910/000.201"] {
            assert!(words(text).contains(&"351910000201".to_owned()), "{text}");
        }
        assert_eq!(words("910 000 ana 201 silva"), ["201", "910000", "ana", "silva"]);
    }
}
