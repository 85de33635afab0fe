//! What people type to find somebody.

/// The words that are looked for: each must be found, in any order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words(Vec<String>);

/// The fewest digits of a phone number. Fewer may be part of a name.
const SHORTEST_NUMBER: usize = 6;

impl Words {
    /// The words of a text, each once. Adjacent words of digits are one phone number, in any notation.
    pub fn of(text: &str) -> Self {
        let mut words: Vec<String> = Vec::new();
        let (mut run, mut number) = (Vec::new(), String::new());
        for word in text.split_whitespace().map(Some).chain([None]) {
            match word.map(|word| (word, digits(word))) {
                Some((word, Some(digits))) => {
                    run.push(word.to_owned());
                    number += &digits;
                }
                other => {
                    match number.len() >= SHORTEST_NUMBER {
                        true => words.push(std::mem::take(&mut number)),
                        false => words.append(&mut run),
                    }
                    run.clear();
                    number.clear();
                    words.extend(other.map(|(word, _)| word.to_owned()));
                }
            }
        }
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

    #[test]
    fn few_digits_are_words_of_a_name() {
        assert_eq!(words("Li Henry 8 2"), ["2", "8", "Henry", "Li"]);
        assert_eq!(words("Ana Silva (2)"), ["(2)", "Ana", "Silva"]);
    }
}
