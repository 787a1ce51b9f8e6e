//! Ascending ids as decimal digits: consecutive ids differ in their last digits, so those are counted up in place.

/// The digits of one id.
#[derive(Clone, Copy, Debug)]
pub struct Digits {
    value: u64,
    text: [u8; 20],
    start: usize,
}

impl Digits {
    pub fn of(value: u64) -> Digits {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(value).as_bytes();
        let mut text = [b'0'; 20];
        let start = text.len() - digits.len();
        text[start..].copy_from_slice(digits);
        Digits { value, text, start }
    }

    /// Becomes the digits of `value`, cheaply when it is the next number.
    pub fn advance(&mut self, value: u64) {
        if self.value.checked_add(1) != Some(value) {
            *self = Digits::of(value);
            return;
        }
        self.value = value;
        let mut at = self.text.len() - 1;
        while self.text[at] == b'9' {
            self.text[at] = b'0';
            at -= 1; // 20 digits hold every u64: the first is never a 9 that overflows
        }
        self.text[at] += 1;
        self.start = self.start.min(at);
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.text[self.start..]
    }
}

/// How many digits the numbers `first`, `first + 1`, … (`count` of them) have together.
pub fn total(first: u64, count: u64) -> u64 {
    let mut sum = 0;
    let (mut next, mut left) = (first, count);
    while left > 0 {
        let digits = next.checked_ilog10().unwrap_or(0) + 1;
        let same = 10u64.checked_pow(digits).map_or(left, |end| left.min(end - next));
        sum += same * u64::from(digits);
        left -= same;
        next = next.saturating_add(same);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(first: u64, count: u64) {
        let mut digits = Digits::of(first);
        let mut length = 0;
        for value in first..first + count {
            digits.advance(value);
            assert_eq!(std::str::from_utf8(digits.as_bytes()).unwrap(), value.to_string());
            length += digits.as_bytes().len() as u64;
        }
        assert_eq!(total(first, count), length);
    }

    #[test]
    fn every_carry() {
        check(0, 12_000);
        check(999_999_999_999_990, 30);
        check(u64::MAX - 20, 20);
    }

    proptest! {
        #[test]
        fn any_run(first in 0..u64::MAX - 10_000, count in 0u64..5_000) {
            check(first, count);
        }
    }
}
