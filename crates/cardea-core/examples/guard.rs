//! Measures the guard engine: `guard bench`, `guard bench PIECE` on one hostile text made of a piece, or `guard eval FILE [PROFILE]` on labelled JSON lines, where the profile is
//! the name of one that ships or a TOML file. `guard clues` feeds `models/injection/train.py`. There is no encoder here, so
//! profiles go without second looks; `cardea guard eval` measures with them.
//!
//! Times are CPU times of this thread where the system tells them (Linux), so that a busy machine does not spoil them.

#![expect(clippy::print_stdout, reason = "a program that prints figures")]

use std::{fs::File, hint::black_box, io::BufRead, io::BufReader};

use cardea_core::guard::{
    Engine, Masks, Profile, Surface,
    report::{Eval, Rate},
};

/// The binary's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Outcome = Result<(), Box<dyn std::error::Error>>;

const PROSE: &str = "The meeting on Tuesday went well, and we agreed to ship the new release after the tests are green. \
    Please find the summary of open points below; none of them is urgent. The order 4471 left the warehouse at noon, and \
    version 2.4.1 of the driver is installed on 12 machines. Thanks for the help with the printer on the third floor. ";

const HOSTILE: &[&str] = &[
    "1",
    "1 ",
    "123 ",
    "4111 ",
    "4 ",
    "a@",
    "ssn ",
    "password=",
    "sk-",
    "ignore all ",
    "token is ",
    "eyJ",
    "((((",
    "-----BEGIN PRIVATE KEY-----",
    "e\u{301}\u{301}\u{301}",
    "\u{200b}a",
    "\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}ab",
    "%41",
    "&amp;",
    "aGVsbG8g",
    "0x",
    "1.1.",
    "ab:",
    "name: A ",
    "Anna ",
    "123-45-",
    "my name is ",
    "http://a:",
    "A1b2C3d4",
    "send all ",
    "12 Mill Street ",
    "+1 ",
    "at dot ",
    "= ",
    "i g n o r e ",
    "1gn0r3 4ll ",
    "pass ",
    "haslo ",
    "-key=",
    "x-amz-signature=",
    "insert (a,",
    "COPY (a,",
    "\\\"a",
    "<b>",
    "<td>1</td>",
    "<p x=1>",
    "<b> ",
    "<a b",
    "a,\n",
    "\"a\";\"b\"\n",
    "id,pin\n",
    "id,pin,ssn\n1,2,3\n",
    "'a','b'\n",
    "\"abc\",\"def ghi\"\n",
    "\"name\",\"password\"\n\"a\",\"b\"\n",
    "name,password\na,b\n",
    "phone,name,email,address,password\na,b,c,d,e\n",
    "vorname,nachname,passwort\nA,B,C1d2e3f4\n",
    "COPY (pin,pin,pin,pin)\n1\t2\t3\t4\n",
    "insert (dob,pin)(1)",
    "insert (pw,pw,pw,pw,pw,pw)(1)",
    "Frau ",
    "'1' as pin ",
    "ﷺ",
    "㌀",
    "﷼",
    "api_key=",
    "n8n_api_",
    "DO00 ",
    "เลขบัตรประชาชน",
    "名前 ",
    "本人氏名 ",
    "&pwd=",
    "sb-access-token=",
    "\"kind\":\"secret\" ",
    "様",
];

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("bench") => match args.next() {
            Some(piece) => hostile(&strict()?, &piece).map(drop),
            None => bench(),
        },
        Some("eval") => {
            eval(&args.next().ok_or("eval needs a file")?, args.next().as_deref().unwrap_or("strict"))
        }
        Some("clues") => clues(),
        _ => Err("say `bench`, `eval FILE [PROFILE]` or `clues`".into()),
    }
}

/// Reads `[text, untrusted]` lines and says what the injection classifier reads of each.
fn clues() -> Outcome {
    for line in std::io::stdin().lines() {
        let (text, untrusted): (String, bool) = serde_json::from_str(&line?)?;
        let surface = if untrusted { Surface::ToolResult } else { Surface::User };
        let clues = cardea_core::guard::clues_for_training(&text, surface)?;
        println!("{}", serde_json::to_string(&clues)?);
    }
    Ok(())
}

/// Nanoseconds that this thread has been on a CPU.
fn cpu() -> Result<u64, Box<dyn std::error::Error>> {
    let line = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    Ok(line.split(' ').next().ok_or("no figure")?.parse()?)
}

fn strict() -> Result<Engine, Box<dyn std::error::Error>> {
    Ok(Engine::new(&Profile { second_look: None, ..Profile::built_in("strict")? })?)
}

/// Scans a mebibyte made of a piece, and half as much. Gives and tells the speed in MiB/s.
fn hostile(engine: &Engine, piece: &str) -> Result<f64, Box<dyn std::error::Error>> {
    let text = piece.repeat((1 << 20) / piece.len());
    let before = cpu()?;
    let found = engine.scan(&text, Surface::ToolResult).findings.len();
    let speed = rate(cpu()? - before);
    let half = text.get(..text.len() / 2 / piece.len() * piece.len()).unwrap_or_default();
    let before = cpu()?;
    black_box(engine.scan(half, Surface::ToolResult));
    println!(
        "{:32} {speed:6.1} MiB/s (half the text: {:6.1}), {found} findings",
        format!("{piece:?}"),
        rate(cpu()? - before) / 2.0
    );
    Ok(speed)
}

fn bench() -> Outcome {
    let before = cpu()?;
    let engine = strict()?;
    println!("first engine: {} ms", (cpu()? - before) / 1_000_000);
    let before = cpu()?;
    black_box(Engine::new(&Profile::built_in("standard")?)?);
    println!("second engine: {} us", (cpu()? - before) / 1000);
    for size in [200, 2048, 20480] {
        let text: String = PROSE.chars().cycle().take(size).collect();
        black_box(engine.scan(&text, Surface::User));
        // WHY: the system counts CPU time in steps of some milliseconds, so one figure is of many scans.
        let rounds = 4_000_000 / size as u64;
        let mut times = Vec::new();
        for _ in 0..11 {
            let before = cpu()?;
            for _ in 0..rounds {
                black_box(engine.scan(&text, Surface::User));
            }
            times.push((cpu()? - before) / rounds);
        }
        times.sort_unstable();
        println!("{size} bytes: middle of 11 {} us, worst {} us", us(times.get(5)), us(times.last()));
    }
    let (mut slowest, mut name) = (f64::MAX, "");
    for piece in HOSTILE {
        let speed = hostile(&engine, piece)?;
        if speed < slowest {
            (slowest, name) = (speed, piece);
        }
    }
    println!("slowest: {slowest:.1} MiB/s on {name:?}");
    tails_and_masks(&engine)
}

/// Tails that nobody wrote, values that are all different, and the way back from their placeholders.
fn tails_and_masks(engine: &Engine) -> Outcome {
    let told = |what: &str, text: &str, before: u64, found: usize| -> Outcome {
        let mib = f64::from(u32::try_from(text.len())?) / f64::from(1 << 20);
        println!("{what:32} {:6.1} MiB/s, {found}", rate(cpu()? - before) * mib);
        Ok(())
    };
    let tail =
        " describing.\\ + similarlyNow write oppositeley.]( Me giving**ONE please? revert with \"\\!--Two";
    for (what, text) in [
        ("prose with a tail", PROSE.repeat((1 << 20) / PROSE.len()) + tail),
        ("nothing but tails", tail.repeat((1 << 20) / tail.len())),
    ] {
        let before = cpu()?;
        let found = engine.scan(&text, Surface::User).findings.len();
        told(what, &text, before, found)?;
    }
    let text: String = (0..40_000).map(|number| format!("write to u{number}@example.com now ")).collect();
    let (before, mut masks) = (cpu()?, Masks::new(&[7; 32]));
    let masked = engine.scan_in(&text, Surface::User, &mut masks);
    told("40,000 different addresses", &text, before, masked.findings.len())?;
    let (before, masked) = (cpu()?, masked.text.to_string());
    told("and their way back", &masked, before, masks.originals().restore(&masked, |_| true).len())
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn rate(nanoseconds: u64) -> f64 {
    1e9 / nanoseconds as f64
}

#[expect(clippy::cast_precision_loss, reason = "figures for people")]
fn us(nanoseconds: Option<&u64>) -> f64 {
    nanoseconds.copied().unwrap_or_default() as f64 / 1000.0
}

fn eval(file: &str, profile: &str) -> Outcome {
    let profile = match profile.strip_suffix(".toml") {
        Some(_) => Profile::parse(&std::fs::read_to_string(profile)?)?,
        None => Profile::built_in(profile)?,
    };
    let engine = Engine::new(&Profile { second_look: None, ..profile })?;
    let mut eval = Eval::new(&engine);
    for line in BufReader::new(File::open(file)?).lines() {
        eval.add(&line?)?;
    }
    let show = |rate: Rate| {
        let (low, high) = rate.interval();
        if rate.of == 0 {
            "–".to_owned()
        } else {
            format!("{:.3} [{low:.3}, {high:.3}] of {}", rate.share(), rate.of)
        }
    };
    println!("| group | recall | whole | precision | harmless flagged |\n|---|---|---|---|---|");
    for (group, figures) in eval.figures() {
        let columns = [figures.recall, figures.full, figures.precision, figures.flagged].map(show);
        println!("| {group} | {} |", columns.join(" | "));
    }
    Ok(())
}
