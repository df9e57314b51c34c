//! The segments of a JPEG up to its pixels.

use std::sync::Arc;

use super::huffman::{Kind, Table};
use super::zigzag::place;

/// What the segments before the first scan say, of a file that this decoder knows.
#[derive(Debug)]
pub(super) struct Header<'a> {
    pub width: usize,
    pub height: usize,
    /// One (grey) or three (Y, Cb, Cr).
    pub components: Vec<Component>,
    /// MCUs (the smallest groups of blocks that hold all components) between restart markers; 0: no markers.
    pub restart_interval: usize,
    /// The EXIF block, from its byte-order mark.
    pub exif: Option<&'a [u8]>,
    /// What follows the header of the scan.
    pub scan: &'a [u8],
}

/// A colour plane: its blocks per MCU and how they are coded.
#[derive(Debug)]
pub(super) struct Component {
    pub horizontal: usize,
    pub vertical: usize,
    /// In rows of rising frequency, cut to 16 bits.
    pub quantisation: [i16; 64],
    pub dc: Arc<Table>,
    pub ac: Arc<Table>,
}

/// A component as the frame header has it.
struct Declared {
    id: u8,
    horizontal: usize,
    vertical: usize,
    quantisation: usize,
}

/// Tables and marks gathered on the way.
#[derive(Default)]
struct Seen<'a> {
    quantisation: [Option<[i16; 64]>; 4],
    dc: [Option<Arc<Table>>; 4],
    ac: [Option<Arc<Table>>; 4],
    frame: Option<(usize, usize, Vec<Declared>)>,
    restart_interval: usize,
    jfif: bool,
    /// The colour transform in Adobe's segment.
    adobe: Option<u8>,
    exif: Option<&'a [u8]>,
}

/// Reads up to the first scan. `None` for what this decoder leaves to the library: other processes than
/// sequential Huffman coding of 8-bit samples, other colours than grey and YCbCr, other samplings than chroma
/// at full or half resolution, several scans, and anything that is out of order.
pub(super) fn read(bytes: &[u8]) -> Option<Header<'_>> {
    let mut seen = Seen::default();
    let mut rest = bytes.strip_prefix(&[0xff, 0xd8])?;
    loop {
        let &[0xff, marker, ref after @ ..] = rest else { return None };
        if marker == 0xff {
            rest = &rest[1..]; // A fill byte.
            continue;
        }
        let &length = after.first_chunk()?;
        let (segment, after) = after.split_at_checked(usize::from(u16::from_be_bytes(length)))?;
        let payload = segment.get(2..)?;
        match marker {
            0xc0 | 0xc1 if seen.frame.is_none() => seen.frame = Some(frame(payload)?),
            0xc4 => huffman_tables(payload, &mut seen)?,
            0xdb => quantisation_tables(payload, &mut seen)?,
            0xdd => seen.restart_interval = usize::from(u16::from_be_bytes(payload.try_into().ok()?)),
            0xda => return scan(payload, seen, after),
            0xe0 => seen.jfif |= payload.starts_with(b"JFIF\0"),
            0xe1 if seen.exif.is_none() => seen.exif = payload.strip_prefix(b"Exif\0\0"),
            0xee if payload.starts_with(b"Adobe") => seen.adobe = Some(*payload.get(11)?),
            0xe1..=0xef | 0xfe => {}
            _ => return None,
        }
        rest = after;
    }
}

fn frame(payload: &[u8]) -> Option<(usize, usize, Vec<Declared>)> {
    let (&[8, h1, h0, w1, w0, count], list) = payload.split_first_chunk()? else { return None };
    let (width, height) = (u16::from_be_bytes([w1, w0]).into(), u16::from_be_bytes([h1, h0]).into());
    let components: Vec<Declared> = list
        .chunks_exact(3)
        .map(|c| Declared {
            id: c[0],
            horizontal: usize::from(c[1] >> 4),
            vertical: usize::from(c[1] & 15),
            quantisation: usize::from(c[2]),
        })
        .collect();
    // Factors above 4 are no JPEG, and 3 is nothing that photos have.
    let known = |c: &Declared| matches!((c.horizontal, c.vertical), (1 | 2 | 4, 1 | 2 | 4));
    let usable =
        width > 0 && height > 0 && list.len() == 3 * usize::from(count) && components.iter().all(known);
    (usable && matches!(count, 1 | 3)).then_some((width, height, components))
}

fn quantisation_tables(mut payload: &[u8], seen: &mut Seen) -> Option<()> {
    while let [kind, rest @ ..] = payload {
        let slot = seen.quantisation.get_mut(usize::from(kind & 15))?;
        let size = match kind >> 4 {
            0 => 1,
            1 => 2,
            _ => return None,
        };
        let (values, rest) = rest.split_at_checked(64 * size)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0, |sum, &byte| sum << 8 | i16::from(byte));
        let mut table = [0; 64];
        for (k, value) in values.chunks_exact(size).map(number).enumerate() {
            table[place(k)] = value;
        }
        *slot = Some(table);
        payload = rest;
    }
    Some(())
}

fn huffman_tables(mut payload: &[u8], seen: &mut Seen) -> Option<()> {
    while let [class, rest @ ..] = payload {
        let (counts, rest) = rest.split_first_chunk::<16>()?;
        let total = counts.iter().map(|&count| usize::from(count)).sum();
        let (symbols, rest) = rest.split_at_checked(total)?;
        let number = usize::from(class & 15);
        match class >> 4 {
            0 => *seen.dc.get_mut(number)? = Some(Arc::new(Table::new(Kind::Dc, counts, symbols)?)),
            1 => *seen.ac.get_mut(number)? = Some(Arc::new(Table::new(Kind::Ac, counts, symbols)?)),
            _ => return None,
        }
        payload = rest;
    }
    Some(())
}

/// The header of the scan: it must hold all components, whole.
fn scan<'a>(payload: &[u8], seen: Seen<'a>, after: &'a [u8]) -> Option<Header<'a>> {
    let (width, height, declared) = seen.frame?;
    let (&count, list) = payload.split_first()?;
    let (list, spectrum) = list.split_at_checked(2 * declared.len())?;
    if usize::from(count) != declared.len() || spectrum != [0, 63, 0] {
        return None;
    }
    if let [luma, chroma @ ..] = &*declared
        && !chroma.is_empty()
    {
        let ids = declared.iter().map(|c| c.id).eq(1..=3);
        let ycbcr = seen.jfif || seen.adobe.map_or(ids, |transform| transform == 1);
        let sampled = matches!((luma.horizontal, luma.vertical), (1 | 2, 1 | 2))
            && chroma.iter().all(|c| (c.horizontal, c.vertical) == (1, 1));
        if !ycbcr || !sampled {
            return None;
        }
    }
    let grey = declared.len() == 1;
    let component = |(declared, coded): (Declared, &[u8])| {
        let tables = coded[1];
        (coded[0] == declared.id).then_some(())?;
        Some(Component {
            // A single component is stored block by block, whatever its sampling factors.
            horizontal: if grey { 1 } else { declared.horizontal },
            vertical: if grey { 1 } else { declared.vertical },
            quantisation: (*seen.quantisation.get(declared.quantisation)?)?,
            dc: seen.dc.get(usize::from(tables >> 4))?.clone()?,
            ac: seen.ac.get(usize::from(tables & 15))?.clone()?,
        })
    };
    let components = declared.into_iter().zip(list.chunks_exact(2)).map(component).collect::<Option<_>>()?;
    let Seen { restart_interval, exif, .. } = seen;
    Some(Header { width, height, components, restart_interval, exif, scan: after })
}
