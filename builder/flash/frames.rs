//! zstd files: all of their frames, of which the image has one after the other.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};

/// A compressed file.
pub(super) type Packed = BufReader<File>;
type Frame = ruzstd::decoding::StreamingDecoder<Packed, ruzstd::decoding::FrameDecoder>;

/// The content of all frames of a zstd file, one after the other. Skippable ones (RFC 8878, 3.1.2), such as a table for seeking,
/// have none.
pub(super) struct Frames {
    rest: Option<Packed>,
    frame: Option<Frame>,
}

impl Frames {
    /// From the beginning of a file.
    pub(super) fn new(packed: Packed) -> Self {
        Self { rest: Some(packed), frame: None }
    }
}

impl Read for Frames {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                match frame.read(bytes)? {
                    0 => self.rest = self.frame.take().map(Frame::into_inner),
                    count => return Ok(count),
                }
            }
            let Some(mut rest) = self.rest.take() else { return Ok(0) };
            if rest.fill_buf()?.is_empty() {
                return Ok(0);
            }
            if skip(&mut rest)? {
                self.rest = Some(rest);
            } else {
                self.frame = Some(Frame::new(rest).map_err(std::io::Error::other)?);
            }
        }
    }
}

/// Skips the frame that begins here if it is a skippable one; otherwise nothing is read.
fn skip(packed: &mut Packed) -> std::io::Result<bool> {
    let mut magic = [0; 4];
    packed.read_exact(&mut magic)?;
    if u32::from_le_bytes(magic) & 0xffff_fff0 != 0x184d_2a50 {
        packed.seek_relative(-4)?;
        return Ok(false);
    }
    let mut length = [0; 4];
    packed.read_exact(&mut length)?;
    let length = u64::from(u32::from_le_bytes(length));
    if std::io::copy(&mut packed.take(length), &mut std::io::sink())? != length {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    Ok(true)
}
