//! What is read back of an artifact, and what is refused.

use super::*;
use crate::reference::BaselineWindow;

/// Written by the last version that wrote format 1, with its address.
const FORMAT_1: &[u8] = include_bytes!("../../testdata/references/format-1.awref");
const ADDRESS: &str = "710d6c6829eeb852bb9633b4091a80cbabee0f4a7aa6736ac8e11da2f7d0408a";

#[derive(Debug)]
struct Away;

impl ReadWindows for Away {
    fn read(&self) -> Result<Arc<[BaselineWindow]>, WindowsUnread> {
        Err(WindowsUnread::because(std::io::Error::other("nobody is there")))
    }
}

fn reference() -> Reference {
    decode(FORMAT_1).expect("a reference")
}

#[test]
fn format_1_is_read_under_the_address_that_it_has() {
    assert_eq!(ReferenceId::of(FORMAT_1).as_str(), ADDRESS);
    let reference = reference();
    assert_eq!((reference.columns.len(), reference.windows.len()), (5, 400));
    assert_eq!(reference.windows.read().expect("at hand")[0].start, 1_767_571_200_000);
    let head = decode_head(FORMAT_1, Arc::new(Away)).expect("a reference");
    assert_eq!(head.windows.len(), 400);
    assert!(head.windows.read().is_err());
    for end in 0..FORMAT_1.len() {
        assert!(decode(&FORMAT_1[..end]).is_err(), "{end}");
    }
}

#[test]
fn a_reference_comes_back_whole_or_by_its_head_alone() {
    let reference = reference();
    let bytes = encode(&reference).expect("bytes");
    assert_eq!(decode(&bytes).expect("a reference"), reference);
    let len = head_len(&bytes).expect("a head");
    assert!(len < bytes.len() && head_len(&bytes[..HEAD_PREFIX]) == Some(len));
    let head = decode_head(&bytes[..len], Arc::new(Away)).expect("a head");
    assert_eq!(Reference { windows: reference.windows.clone(), ..head.clone() }, reference);
    assert_eq!(head.windows.len(), reference.windows.len());
    assert_eq!(ReferenceId::of(&bytes), ReferenceId::of(&bytes[..len]));
    assert!(matches!(encode(&head), Err(ArtifactError::Windows(_))));
}

#[test]
fn without_windows_there_is_nothing_to_read() {
    let none = Reference { windows: BaselineWindows::default(), ..reference() };
    let bytes = encode(&none).expect("bytes");
    assert_eq!(head_len(&bytes), Some(bytes.len()));
    let head = decode_head(&bytes, Arc::new(Away)).expect("a head");
    assert!(head.windows.is_empty() && head.windows.read().is_ok());
}

#[test]
fn what_is_damaged_is_refused_or_has_another_address() {
    let bytes = encode(&reference()).expect("bytes");
    let (id, head) = (ReferenceId::of(&bytes), head_len(&bytes).expect("a head"));
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "{end}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let read = decode(&damaged);
        assert!(read.is_err() || at < head && ReferenceId::of(&damaged) != id, "{at}");
        assert!(at < head || matches!(read, Err(ArtifactError::Section { .. })), "{at}");
    }
    let longer = [&bytes[..], b"x"].concat();
    assert!(matches!(decode(&longer), Err(ArtifactError::Section { .. })));
}

#[test]
fn the_windows_of_another_reference_are_refused() {
    let one = reference();
    let fewer: Vec<BaselineWindow> = one.windows.read().expect("at hand")[1..].to_vec();
    let other = Reference { windows: fewer.into(), ..one.clone() };
    let [one, other] = [one, other].map(|reference| encode(&reference).expect("bytes"));
    let heads = [&one, &other].map(|bytes| head_len(bytes).expect("a head"));
    let mixed = [&one[..heads[0]], &other[heads[1]..]].concat();
    assert!(matches!(decode(&mixed), Err(ArtifactError::Section { .. })));
}

#[test]
fn a_head_that_says_it_is_huge_is_not_believed() {
    let mut bytes = encode(&reference()).expect("bytes");
    bytes[HEAD_PREFIX - 4..HEAD_PREFIX].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode(&bytes), Err(ArtifactError::Compression(_))));
    bytes[HEAD_PREFIX - 4..HEAD_PREFIX].copy_from_slice(&(1_u32 << 20).to_le_bytes());
    assert!(decode(&bytes).is_err());
    bytes[HEAD_PREFIX - 8..HEAD_PREFIX - 4].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(decode(&bytes), Err(ArtifactError::Truncated)));
}
