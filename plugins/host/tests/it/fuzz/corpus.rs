//! The stored corpus, its mutations, and the keeping of an input that fails.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{env, fs};

use arbtest::arbitrary::{Result, Unstructured};
use arbtest::arbtest;
use plugin_host::Digest;

/// How long each target gets fresh inputs in every run.
const BUDGET: Duration = Duration::from_secs(10);
/// Random bytes behind one input; more would only mutate more of it.
const SIZES: RangeInclusive<u64> = 32..=1024;
/// A text that has other inputs drawn.
const OTHERS: &str = "COUNTERSIGN_FUZZ";

/// What JSON and its readers stumble over.
const TOKENS: [&str; 18] = [
    "{",
    "}",
    "[",
    "]",
    "\"",
    "\\",
    ",",
    ":",
    "null",
    "true",
    "-1",
    "1e309",
    "0.1",
    "99999999999999999999999999",
    "\"\\ud800\"",
    "\"__proto__\":",
    "\u{feff}",
    "\0",
];

/// How fresh inputs are made.
#[derive(Clone, Copy)]
pub(super) enum Mutation<'a> {
    Of(&'a [Vec<u8>]),
    /// So many words of four bytes, made up as often as taken from the seeds.
    OfWords(&'a [Vec<u8>], usize),
}

/// Files of the corpus, in the order of their names; those in the text format as what they say.
pub(super) fn corpus(folder: &str) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(place(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).unwrap();
        let is_text = path.extension().is_some_and(|extension| extension == "wat");
        if is_text { wat::parse_bytes(&bytes).unwrap().into_owned() } else { bytes }
    };
    paths.into_iter().map(read).collect()
}

fn place(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder)
}

/// Feeds the seeds as they are, and then fresh inputs as long as the time lasts: the same in every run, so that a commit is
/// judged alike by everybody, until the corpus changes or `COUNTERSIGN_FUZZ` does. `arbtest` tells the random seed of an
/// input that fails, and repeats it for whoever sets `ARBTEST_SEED`.
pub(super) fn run(folder: &str, seeds: &[Vec<u8>], mutation: Mutation<'_>, feed: impl Fn(&[u8])) {
    for seed in seeds {
        kept(folder, seed, &feed);
    }
    let property = |random: &mut Unstructured<'_>| {
        let input = mutation.make(random)?;
        kept(folder, &input, &feed);
        Ok(())
    };
    if variable("ARBTEST_SEED").is_some() {
        return arbtest(property).run();
    }
    // Of the corpus alone: the bytes of guests among the seeds are a compiler's.
    let others = variable(OTHERS).unwrap_or_default();
    let beginning = Digest::of(&[corpus(folder).concat(), others.into_bytes()].concat());
    let begun = Instant::now();
    for number in (0_u64..).take_while(|_| begun.elapsed() < BUDGET) {
        let drawn = Digest::of(&[&beginning.0[..], &number.to_le_bytes()].concat());
        // Too few random bytes for a change are no input.
        arbtest(|random| property(random).or(Ok(()))).seed(arbtest_seed(&drawn)).run();
    }
}

#[expect(clippy::disallowed_methods, reason = "whoever fuzzes says so where the tests are begun")]
fn variable(name: &str) -> Option<String> {
    env::var(name).ok()
}

/// As `arbtest` has them: the randomness above, the number of bytes that it makes of it below.
fn arbtest_seed(drawn: &Digest) -> u64 {
    let drawn = u64::from_le_bytes(*drawn.0.first_chunk().unwrap());
    let (least, most) = SIZES.into_inner();
    drawn << u32::BITS | (least + (drawn >> u32::BITS) % (most - least + 1))
}

/// Feeds an input; if that panics, leaves it in a file and says where.
fn kept(folder: &str, input: &[u8], feed: impl Fn(&[u8])) {
    struct Kept<'a>(&'a str, &'a [u8]);

    impl Drop for Kept<'_> {
        #[expect(clippy::print_stderr, reason = "whoever reads of a failure learns here what failed")]
        fn drop(&mut self) {
            if std::thread::panicking() {
                let Self(folder, input) = self;
                let name = format!("{folder}-{:.16}", Digest::of(input).to_string());
                let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
                fs::write(&path, input).unwrap_or_else(|error| eprintln!("{}: {error}", path.display()));
                eprintln!(
                    "the input that failed is in `{}`: put it into `{}`, which every run feeds. An input that is not from \
                     there is made again where `ARBTEST_SEED` has the seed that is told below",
                    path.display(),
                    place(folder).display()
                );
            }
        }
    }

    let _kept = Kept(folder, input);
    feed(input);
}

impl Mutation<'_> {
    fn make(self, random: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        match self {
            Self::Of(seeds) => mutated(random, seeds),
            Self::OfWords(seeds, words) => {
                if !seeds.is_empty() && random.arbitrary()? {
                    return mutated(random, seeds);
                }
                (0..words).map(|_| word(random)).collect::<Result<Vec<_>>>().map(|words| words.concat())
            }
        }
    }
}

/// One of the seeds with a few changes of any kind that files suffer.
fn mutated(random: &mut Unstructured<'_>, seeds: &[Vec<u8>]) -> Result<Vec<u8>> {
    let mut bytes = random.choose(seeds)?.clone();
    for _ in 0..=random.int_in_range(0..=4)? {
        let at = random.int_in_range(0..=bytes.len())?;
        let end = (at + random.int_in_range(0..=64)?).min(bytes.len());
        match random.int_in_range(0..=7)? {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.int_in_range(0..=7)?,
            1 if at < bytes.len() => bytes[at] = random.arbitrary()?,
            2 => bytes.insert(at, random.arbitrary()?),
            3 => drop(bytes.drain(at..end)),
            4 => bytes.truncate(at),
            5 => drop(bytes.splice(at..end, random.choose(&TOKENS)?.bytes())),
            6 => {
                let again = bytes[at..end].to_vec();
                let to = random.int_in_range(0..=bytes.len())?;
                bytes.splice(to..to, again);
            }
            _ => {
                let other = random.choose(seeds)?;
                let from = random.int_in_range(0..=other.len())?;
                let to = (from + random.int_in_range(0..=256)?).min(other.len());
                bytes.splice(at..end, other[from..to].iter().copied());
            }
        }
    }
    Ok(bytes)
}

/// Small numbers, which are cases and lengths, and addresses in and out of memory.
fn word(random: &mut Unstructured<'_>) -> Result<[u8; 4]> {
    let bits: u32 = random.arbitrary()?;
    let word = match random.int_in_range(0..=5)? {
        0 => bits % 6,
        1 => bits % 64,
        2 => 65_536 + bits % 4096,
        3 => 65_536 + bits % 65_536,
        4 => bits % (1 << 24),
        _ => bits,
    };
    Ok(word.to_le_bytes())
}
