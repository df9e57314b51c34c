//! The cache file of reduced images.

use std::fs;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use crate::{Batch, FileCache, Item, LabelState, Loader, LoaderOptions};

/// The most bytes that the cache may have.
const LIMIT: u64 = 1 << 16;

/// Bytes before the first record.
const MAGIC: usize = 16;

/// Bytes of a record before its pixels: a key, the sides, a checksum of these and the pixels, and one of all before it.
const HEADER: usize = 80;
const KEY: Range<usize> = 0..32;
const SIDES: Range<usize> = 32..40;
const CHECKSUM: Range<usize> = 40..72;
const HEADER_CHECKSUM: Range<usize> = 72..HEADER;

/// A cache file. It is refused and left alone, or used; then the pixels are right, whatever it holds, and the next run finds them.
///
/// Hashes are for accidents, so they are taken out of the fuzzer's hands: where the key or the checksum of a header is zero, the right
/// one is put there, and a record that is right about wrong pixels is made wrong.
pub fn cache(bytes: &[u8]) {
    static SCENE: OnceLock<Scene> = OnceLock::new();
    let scene = SCENE.get_or_init(Scene::new);
    let mut bytes = bytes.to_vec();
    complete(&mut bytes, &scene.record);
    let path = scene.root.join("images.cache");
    fs::write(&path, &bytes).expect("a temporary file can be written");
    let cache = match FileCache::open(&path, LIMIT) {
        Ok(cache) => cache,
        Err(error) => {
            assert!(error.to_string().contains("images.cache"), "{error}");
            assert_eq!(fs::read(&path).ok(), Some(bytes));
            return;
        }
    };
    assert_eq!(cache.damaged_bytes(), (bytes.len() as u64).saturating_sub(cache.bytes()));
    assert!(cache.images() as u64 <= cache.bytes() / HEADER as u64);
    assert_eq!(scene.batch(&cache), scene.batch);
    assert!(cache.take_trouble().is_none());
    let after = fs::read(&path).expect("the cache is there");
    assert!(after.len() as u64 <= LIMIT.max(bytes.len() as u64));

    let next = FileCache::open(&path, LIMIT).expect("what was used can be opened");
    assert_eq!(scene.batch(&next), scene.batch);
    if cache.images() > 0 {
        assert!(next.images() > 0);
        assert!(fs::read(&path).ok() == Some(after), "nothing is stored twice");
    }
}

/// Puts keys and header checksums in their places; takes out the checksums that make the picture of the record `sound` another.
fn complete(file: &mut [u8], sound: &[u8]) {
    let mut at = MAGIC;
    while let Some(record) = file.get_mut(at..).filter(|record| record.len() >= HEADER) {
        let side = |side: &[u8]| side.iter().rev().fold(0, |side, byte| side << 8 | usize::from(*byte));
        let [width, height] = [&record[SIDES][..4], &record[SIDES][4..]].map(side);
        let len = width.saturating_mul(height).saturating_mul(3).saturating_add(HEADER);
        if is_zero(&record[KEY]) {
            record[KEY].copy_from_slice(&sound[KEY]);
        }
        if let Some(pixels) = record.get(HEADER..len)
            && record[KEY] == sound[KEY]
            && (&record[SIDES], pixels) != (&sound[SIDES], &sound[HEADER..])
        {
            let mut hash = blake3::Hasher::new_derive_key("mlcls image cache: pixels");
            let checksum = hash.update(&record[..CHECKSUM.start]).update(pixels).finalize();
            if record[CHECKSUM] == *checksum.as_bytes() {
                record[CHECKSUM].fill(0);
            }
        }
        if is_zero(&record[HEADER_CHECKSUM]) {
            let checksum = blake3::derive_key("mlcls image cache: header", &record[..HEADER_CHECKSUM.start]);
            record[HEADER_CHECKSUM].copy_from_slice(&checksum[..HEADER_CHECKSUM.len()]);
        }
        at = at.saturating_add(len);
    }
}

fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// A picture, its pixels in a batch, and its record in a cache.
struct Scene {
    root: PathBuf,
    items: Arc<[Item]>,
    batch: Batch,
    record: Vec<u8>,
}

impl Scene {
    fn new() -> Self {
        let root = super::Scene::root("cache");
        fs::create_dir_all(&root).expect("a temporary folder can be made");
        let image = root.join("a.bmp");
        let pixel = |x, y| ::image::Rgb([40 * x as u8, 40 * y as u8, 200]);
        ::image::RgbImage::from_fn(5, 4, pixel).save(&image).expect("a temporary image can be written");
        let items = [Item { id: "a".into(), image, states: vec![LabelState::Present] }].into();
        let batch = load(&items, None);
        let mut scene = Self { root, items, batch, record: vec![] };

        let path = scene.root.join("sound.cache");
        let _ = fs::remove_file(&path);
        let cache = FileCache::open(&path, LIMIT).expect("there is no such file yet");
        assert_eq!(scene.batch(&cache), scene.batch);
        let sound = fs::read(path).expect("the cache is there");
        scene.record = sound[MAGIC..].to_vec();
        // The layout is as it is here, too.
        let mut same = sound.clone();
        same[MAGIC..][KEY].fill(0);
        same[MAGIC..][HEADER_CHECKSUM].fill(0);
        complete(&mut same, &scene.record);
        assert_eq!(same, sound);
        scene
    }

    fn batch(&self, cache: &FileCache) -> Batch {
        load(&self.items, Some(cache.clone()))
    }
}

fn load(items: &Arc<[Item]>, cache: Option<FileCache>) -> Batch {
    let options = LoaderOptions { size: 4, batch: 1, ..LoaderOptions::default() };
    let mut batches = Loader::with_file_cache(Arc::clone(items), options, cache).epoch(0, 0);
    batches.next().expect("there is a picture").expect("the picture is sound")
}
