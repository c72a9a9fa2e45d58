//! Numbers as bytes that pack well: the first bytes of all of them, then the second ones, and so on. Exponents and the ends
//! of small whole numbers repeat, and so stand together.

const WIDTH: usize = size_of::<f32>();

/// Appends these numbers.
pub(super) fn encode(numbers: &[f32], bytes: &mut Vec<u8>) {
    for plane in (0..WIDTH).rev() {
        bytes.extend(numbers.iter().map(|number| number.to_le_bytes()[plane]));
    }
}

/// Reads all of them back, bit for bit; what does not make up a number is left out.
pub(super) fn decode(bytes: &[u8]) -> impl Iterator<Item = f32> + '_ {
    let count = bytes.len() / WIDTH;
    let byte = move |plane: usize, place: usize| bytes.get((WIDTH - 1 - plane) * count + place).copied();
    (0..count).map(move |place| {
        f32::from_le_bytes([0, 1, 2, 3].map(|plane| byte(plane, place).unwrap_or_default()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back_bit_for_bit() {
        let numbers = [0.0, -0.0, 1.5, f32::INFINITY, f32::MIN_POSITIVE, -3.25e7];
        let mut bytes = Vec::new();
        encode(&numbers, &mut bytes);
        let read: Vec<u32> = decode(&bytes).map(f32::to_bits).collect();
        assert_eq!(read, numbers.map(f32::to_bits));
        assert_eq!(decode(&[1, 2, 3]).count(), 0);
    }
}
