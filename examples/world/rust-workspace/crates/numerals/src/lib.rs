//! Roman numerals, as they are written today.

const DIGITS: [(u16, &str); 13] = [
    (1000, "M"),
    (900, "CM"),
    (500, "D"),
    (400, "CD"),
    (100, "C"),
    (90, "XC"),
    (50, "L"),
    (40, "XL"),
    (10, "X"),
    (9, "IX"),
    (5, "V"),
    (4, "IV"),
    (1, "I"),
];

/// A number from 1 to 3999 in letters.
pub fn write(mut number: u16) -> Option<String> {
    if !(1..4000).contains(&number) {
        return None;
    }
    let mut text = String::new();
    for (value, letters) in DIGITS {
        while number >= value {
            text.push_str(letters);
            number -= value;
        }
    }
    Some(text)
}

/// The number that letters mean, if they are written as `write` does.
pub fn read(text: &str) -> Option<u16> {
    let mut rest = text;
    let mut number = 0u16;
    for (value, letters) in DIGITS {
        while let Some(after) = rest.strip_prefix(letters) {
            rest = after;
            number = number.checked_add(value)?;
        }
    }
    (rest.is_empty() && write(number)? == text).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{read, write};

    #[test]
    fn every_number_comes_back() {
        for number in 1..4000 {
            assert_eq!(read(&write(number).unwrap()), Some(number));
        }
    }

    #[test]
    fn what_nobody_writes_is_not_read() {
        for text in ["", "IC", "IIII", "VX", "MMMM", "abc"] {
            assert_eq!(read(text), None);
        }
    }
}
