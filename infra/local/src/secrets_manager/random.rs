//! Random characters: the end of an ARN, and `GetRandomPassword`.

use uuid::Uuid;

use super::error::Error;
use super::requests::GetRandomPassword;

const LOWERCASE: &str = "abcdefghijklmnopqrstuvwxyz";
const UPPERCASE: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
const NUMBERS: &str = "0123456789";
const PUNCTUATION: &str = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// Uniform numbers from the operating system's generator, by way of version 4 UUIDs.
#[derive(Default)]
struct Random {
    bytes: Vec<u8>,
}

impl Random {
    fn byte(&mut self) -> u8 {
        loop {
            if let Some(byte) = self.bytes.pop() {
                return byte;
            }
            // Bytes 6 and 8 of a UUID carry its version and variant: they are not random throughout.
            let uuid = Uuid::new_v4().into_bytes().into_iter().enumerate();
            self.bytes.extend(uuid.filter(|(index, _)| !matches!(index, 6 | 8)).map(|(_, byte)| byte));
        }
    }

    /// A number below `bound`, which is at least one and at most 65,536.
    fn below(&mut self, bound: usize) -> usize {
        loop {
            let number = usize::from(u16::from_le_bytes([self.byte(), self.byte()]));
            // The numbers past the last multiple of `bound` would make small results likelier.
            if number < 65_536 - 65_536 % bound {
                return number % bound;
            }
        }
    }

    fn pick(&mut self, characters: &[char]) -> Option<char> {
        (!characters.is_empty()).then(|| self.below(characters.len())).and_then(|at| characters.get(at).copied())
    }
}

/// The six letters and digits that end a secret's ARN.
pub(super) fn arn_suffix() -> String {
    let characters: Vec<char> = [LOWERCASE, UPPERCASE, NUMBERS].concat().chars().collect();
    let mut random = Random::default();
    (0..6).filter_map(|_| random.pick(&characters)).collect()
}

/// A password as the request wants it.
pub(super) fn password(request: &GetRandomPassword) -> Result<String, Error> {
    let length = match request.password_length.unwrap_or(32) {
        ..1 => return Err(Error::constraint("passwordLength", "have value greater than or equal to 1")),
        length @ 1..=4_096 => usize::try_from(length).unwrap_or_default(),
        _ => return Err(Error::constraint("passwordLength", "have value less than or equal to 4096")),
    };
    let excluded = request.exclude_characters.as_deref().unwrap_or_default();
    let types: Vec<Vec<char>> = [
        (LOWERCASE, request.exclude_lowercase),
        (UPPERCASE, request.exclude_uppercase),
        (NUMBERS, request.exclude_numbers),
        (PUNCTUATION, request.exclude_punctuation),
    ]
    .into_iter()
    .filter(|(_, excluded)| *excluded != Some(true))
    .map(|(characters, _)| characters.chars().filter(|character| !excluded.contains(*character)).collect::<Vec<_>>())
    .filter(|characters| !characters.is_empty())
    .collect();
    let mut characters = types.concat();
    if request.include_space == Some(true) && !excluded.contains(' ') {
        characters.push(' ');
    }
    if characters.is_empty() {
        return Err(Error::InvalidParameter("The parameters exclude every character.".to_owned()));
    }
    let mut random = Random::default();
    let mut password = Vec::with_capacity(length);
    if request.require_each_included_type != Some(false) {
        if length < types.len() {
            return Err(Error::InvalidParameter(
                "The password length is too short for one character of every included type.".to_owned(),
            ));
        }
        password.extend(types.iter().filter_map(|characters| random.pick(characters)));
    }
    while password.len() < length {
        password.extend(random.pick(&characters));
    }
    for at in (1..length).rev() {
        password.swap(at, random.below(at + 1));
    }
    Ok(password.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reaches_every_number_below_the_bound_and_no_other() {
        let mut random = Random::default();
        let mut seen = [0_u32; 10];
        for _ in 0..10_000 {
            seen[random.below(10)] += 1;
        }
        assert!(seen.iter().all(|count| (700..1_300).contains(count)), "{seen:?}");
    }
}
