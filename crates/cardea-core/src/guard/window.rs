//! Screening a stream: text leaves as soon as nothing that may still come can change it.
//!
//! The window keeps the text that is not yet decided and a little of what was shown before it, and examines both
//! together. A finding counts once it begins before the first place that more text could still change. Findings depend
//! only on text nearby, so every way of cutting a text into chunks gives the same findings and the same masks.

use super::{
    bounds::BEFORE,
    engine::Engine,
    normalize::LONGEST_VALUE,
    placeholder::Masks,
    runs::Runs,
    seen::Pace,
    sieve::{Mask, Sieve},
    verdict::{Action, Finding, Surface, Taint},
};

/// Once this much is held (a block has begun), it is examined again only after growing by a quarter.
const PATIENCE: usize = 2048;

/// Once this much is held, shown text included, it is examined again only after growing by a sixteenth.
const LONG: usize = 16 * 1024;

/// A stream under screening. What leaves it, put together, is what [`Engine::scan_in`] gives for the whole text.
///
/// Placeholders are numbered by the names that each call lends it, so that nothing else of the conversation gets the same
/// number meanwhile.
///
/// After a refusal nothing more leaves: what came before the refused place has been said already. Detectors that need
/// the whole text (orders to the model) do not run on streams; they run on what goes into a model, not out of it.
pub struct Window {
    engine: Engine,
    surface: Surface,
    sieve: Sieve,
    findings: Vec<Finding>,
    runs: Runs,
    /// Text from `base` of the stream on: some that was shown, then what is undecided.
    held: String,
    base: usize,
    /// Every finding that begins before this place is known.
    decided: usize,
    /// The text before this place has left.
    shown: usize,
    /// How long `held` must be before it is looked at again.
    patience: usize,
    /// How much must come in before anything is looked at: nothing, where somebody reads along.
    least: usize,
    refused: bool,
}

/// The end of a stream.
#[derive(Debug)]
pub struct Finished {
    /// The last text to show.
    pub text: String,
    /// The most severe action of all findings.
    pub action: Action,
    /// Everything seen, with places in the whole stream.
    pub findings: Vec<Finding>,
    /// As for a whole text.
    pub taint: Option<Taint>,
}

impl Engine {
    /// Starts screening a stream.
    #[must_use]
    pub fn window(&self, surface: Surface) -> Window {
        Window::new(self.clone(), surface)
    }
}

impl Window {
    pub(super) fn new(engine: Engine, surface: Surface) -> Self {
        Self {
            engine,
            surface,
            sieve: Sieve::new(surface),
            findings: Vec::new(),
            runs: Runs::default(),
            held: String::new(),
            base: 0,
            decided: 0,
            shown: 0,
            patience: 0,
            least: 0,
            refused: false,
        }
    }

    /// The same, for an answer that nobody reads before its end: it is examined in larger pieces, which says the same
    /// of it with less work.
    #[must_use]
    pub fn unhurried(self) -> Self {
        Self { patience: PATIENCE, least: PATIENCE, ..self }
    }

    /// Takes the next piece and gives what may be shown now; often nothing.
    #[must_use]
    pub fn push(&mut self, chunk: &str, masks: &mut Masks) -> String {
        if !self.engine.listens(self.surface) {
            return chunk.to_owned();
        }
        let mut out = String::new();
        let mut from = 0;
        let before = self.base + self.held.len();
        for (place, c) in chunk.char_indices() {
            if self.runs.take(c, before + place) {
                self.held.push_str(chunk.get(from..place).unwrap_or_default());
                from = place;
                self.settle(masks, &mut out);
            }
        }
        self.held.push_str(chunk.get(from..).unwrap_or_default());
        if self.held.len() >= self.patience {
            self.examine(Some(self.runs), masks, &mut out);
            let open = self.base + self.held.len() - self.decided;
            let grown = if open > PATIENCE { open / 4 } else { self.least };
            // WHY: signs that nobody sees may make what is kept before it any times as long as what is read of it.
            let grown = if self.held.len() > LONG { grown.max(self.held.len() / 16) } else { grown };
            self.patience = if grown == 0 { 0 } else { self.held.len() + grown };
        }
        out
    }

    /// True once something was refused: the stream should be ended.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused
    }

    /// How many bytes have come in and not yet left.
    #[cfg(test)]
    fn held_back(&self) -> usize {
        (self.base + self.held.len()).saturating_sub(self.shown)
    }

    /// Ends the stream.
    #[must_use]
    pub fn finish(mut self, masks: &mut Masks) -> Finished {
        let mut text = String::new();
        self.examine(None, masks, &mut text);
        let action = self.findings.iter().map(|finding| finding.action).max().unwrap_or_default();
        let taint = Taint::of(self.surface, &self.findings);
        Finished { text, action, findings: self.findings, taint }
    }

    /// Decides all that is held and forgets it: what follows is examined on its own.
    fn settle(&mut self, masks: &mut Masks, out: &mut String) {
        self.examine(None, masks, out);
        self.patience = self.least;
    }

    /// Examines what is held, shows what is decided, and forgets what is no longer needed. With `runs`, more may come.
    fn examine(&mut self, runs: Option<Runs>, masks: &mut Masks, out: &mut String) {
        let end = self.base + self.held.len();
        let engine = self.engine.clone();
        let held = std::mem::take(&mut self.held);
        let mut near = engine.near(&held, self.surface, Pace::patient(runs.is_some()));
        let open = match runs {
            None => end,
            Some(runs) => {
                let last = if runs.start - runs.before <= BEFORE { runs.before } else { runs.start };
                (self.base + near.open).min(last.max(self.base)).max(self.decided)
            }
        };
        let mut seen = std::mem::take(&mut near.seen);
        for one in &mut seen {
            one.span = one.span.start + self.base..one.span.end + self.base;
        }
        seen.retain(|one| one.span.start >= self.decided && one.span.start < open);
        self.sieve.order(engine.rules().0, &mut seen);
        for one in &seen {
            let Some((finding, mask)) = self.sieve.take(engine.rules(), one) else { continue };
            if finding.action == Action::Refuse && !self.refused {
                self.show(&held, finding.span.start, out);
                self.refused = true;
            }
            self.findings.push(finding);
            if let Some(mask) = mask {
                self.replace(&held, &mask, masks, out);
            }
        }
        self.show(&held, open, out);
        self.decided = open;
        let context = near.context(open.saturating_sub(self.base), BEFORE + LONGEST_VALUE);
        self.keep(&held, if runs.is_some() { context } else { held.len() });
    }

    /// Shows the text up to a place of the stream.
    fn show(&mut self, held: &str, to: usize, out: &mut String) {
        if to > self.shown {
            let from = self.shown.saturating_sub(self.base);
            let text = held.get(from..to.saturating_sub(self.base)).unwrap_or_default();
            if !self.refused {
                out.push_str(text);
            }
            self.shown = to;
        }
    }

    fn replace(&mut self, held: &str, mask: &Mask, masks: &mut Masks, out: &mut String) {
        self.show(held, mask.start, out);
        let value = mask.value.start.saturating_sub(self.base)..mask.value.end.saturating_sub(self.base);
        let name = masks.put(&mask.label, held.get(value).unwrap_or_default());
        if !self.refused {
            out.push_str(&name);
        }
        self.shown = self.shown.max(mask.end);
    }

    /// Keeps held text from a place in it on, and all that is undecided or not shown.
    fn keep(&mut self, held: &str, from: usize) {
        let from = from.min(self.shown.saturating_sub(self.base)).min(self.decided.saturating_sub(self.base));
        self.held.push_str(held.get(from..).unwrap_or_default());
        self.base += from;
    }
}

impl std::fmt::Debug for Window {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Window")
            .field("shown", &self.shown)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{super::profile::Profile, *};

    fn engine() -> Engine {
        let mask_all = "name = 'all'\n[[rule]]\nkinds = ['*']\naction = 'mask'\nthreshold = 0.0\n\
            [[deny]]\nname = 'rival'\nphrases = ['acme rocket company', '公司']\naction = 'mask'\n\
            [[allow]]\nkinds = ['phone']\ntexts = ['+49 30 23125 317']";
        Engine::new(&Profile::parse(mask_all).unwrap()).unwrap()
    }

    /// One that waits for a pattern of its own as well.
    fn denying() -> Engine {
        let mask = "name = 'all'\n[[deny]]\nname = 'rival'\nphrases = ['acme rocket company', '公司']\naction = 'mask'\n\
            [[deny]]\nname = 'number'\nregex = '#?é\\d[ -]+'\naction = 'mask'";
        Engine::new(&Profile::parse(mask).unwrap()).unwrap()
    }

    fn masks() -> Masks {
        Masks::new(&[7; 32])
    }

    fn streamed(engine: &Engine, text: &str, cuts: &[usize]) -> (String, Vec<Finding>) {
        through(engine.window(Surface::Output), text, cuts)
    }

    fn through(mut window: Window, text: &str, cuts: &[usize]) -> (String, Vec<Finding>) {
        let (mut out, mut names) = (String::new(), masks());
        let mut from = 0;
        for cut in cuts.iter().copied().filter(|cut| text.is_char_boundary(*cut)).chain([text.len()]) {
            if cut > from {
                out += &window.push(text.get(from..cut).unwrap(), &mut names);
                from = cut;
            }
        }
        let end = window.finish(&mut names);
        (out + &end.text, end.findings)
    }

    fn whole(engine: &Engine, text: &str) -> (String, Vec<Finding>) {
        let verdict = engine.scan_in(text, Surface::Output, &mut masks());
        // Detectors of whole texts mask nothing; a stream does not run them.
        let near =
            verdict.findings.iter().filter(|finding| !matches!(finding.detector, "rule" | "classifier"));
        (verdict.text.to_string(), near.cloned().collect())
    }

    const PIECES: &[&str] = &[
        "The weather is nice today, and the river runs. ",
        "4111 1111 1111 1111 ",
        "card 4111-1111-1111-1111, thanks\n",
        "AKIAIOSFODNN7ABCDEFG ",
        "keys:\\nAKIAIOSFODNN7ABCDEFG\\t4111 1111 1111 1111\\r\\nnovak@mail.example.com ",
        "my password is Tr0ub4dor&3. ",
        "{\\\"password\\\":\\\"Tr0ub4dor&3\\\",\\\"name\\\": \\\"Hannah Bianchi\\\"} ",
        "\\\\\\\"db_password\\\\\\\": \\\\\\\"Tr0ub4dor&3\\\\\\\"",
        "\\\\",
        "\"",
        "<p>Password:<br> <b class=\"x\">Tr0ub4dor&3</b></p> ",
        "<tr>\n  <th scope=\"row\">Passwort:&nbsp;</th>\n  <td>Tr0ub4dor&3</td></tr>",
        "<Password type=\"PlainText\"><![CDATA[Tr0ub4dor&3]]></Password> if a <b or 1 <",
        "SSN</dt><dd>536-22-8145<!-- 4111 -->",
        "novak at mail dot example dot com ",
        "write to a.b+c@mail.example.org; ",
        "john.smith (at) northmoor.co",
        "customer: Hannah Bianchi ",
        "8280 Mill Street, Lakeside NY 96134 ",
        "G B 8 2 W E S T 1 2 3 4 5 6 9 8 7 6 5 4 3 2 ",
        "GB82 WEST 1234 5698 7654 32",
        "sk-ant-api03-aB3dE5gH7jK9mN1pQ2rS4tU6vW8xY0zA\nb1C3d5E7f9G1h3J5k7L9m1N3p5Q7r9S1t3U5v7W9x1Y3z5 ",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA7\nabcDEF123/+\n-----END RSA PRIVATE KEY-----\n",
        "-----BEGIN ",
        "４１１１\u{a0}１１１１\u{200b} １１１１ １１１１ ",
        "c2stbGl2ZS1BS0lBSU9TRk9ETk43QUJDREVGRw== ",
        "AKIA%49OSFODNN7ABCDEFG ",
        "acme rocket",
        " company ",
        "acme\\n**rocket",
        ". company.company 我们公司好 ",
        "</b>- ",
        "#é1 ",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiAiMTIzNDU2Nzg5MCJ9.",
        "abcDEF123456_-abcDEF123456",
        "phone: +49 30 23125 317, or (555) 010-4477 ",
        "paśśport: C01X00T47 про sk-проx ",
        "\n\n",
        " ",
        "x",
        "1 2",
        "é",
        "AKIAIOSF\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}ODNN7ABCDEFG ",
        "4111111111111111\u{200b}5 AKIAIOSFODNN7ABCDEFG\u{2060}\u{200b}next ",
        "4111111111111111\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}",
        "+49 30 23125\u{200b}317 a@b.example\u{200b}x ",
        "so\u{ad}AKIAIOSFODNN7ABCDEFG\u{301}\u{fc}ber 4111111111111111\u{200c}5 ",
        "_4111 1111 1111 1111_ ",
        "__AKIAIOSFODNN7ABCDEFG__.",
        "{\\\"password\\\": \\\"Anchor10xQ\\\"} №4111111111111111 nº",
        "\u{301}4111111111111111 A\u{ad}KI\u{34f}",
        "G\u{200b} B\u{200b} 8\u{200b} 2\u{200b} W\u{200b} E S T 1 2 3 4 5 6 9 8 7 6 5 4 3 2\u{200b} ",
        "\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}\u{2060}",
    ];

    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(
            prop_oneof![4 => prop::sample::select(PIECES).prop_map(str::to_owned), 1 => "\\PC{0,12}"],
            0..12,
        )
        .prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn an_answer_that_nobody_reads_along_is_the_screened_whole_as_well(
            texts in prop::collection::vec(text(), 30..50),
            mut cuts in prop::collection::vec(0..9_000_usize, 0..40),
        ) {
            cuts.sort_unstable();
            let (engine, text) = (engine(), texts.concat());
            let cuts: Vec<usize> = cuts.into_iter().filter(|cut| *cut < text.len()).collect();
            let window = engine.window(Surface::Output).unhurried();
            prop_assert_eq!(through(window, &text, &cuts), whole(&engine, &text));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]
        #[test]
        fn a_screened_stream_is_the_screened_whole_however_it_is_cut(text in text(), mut cuts in prop::collection::vec(0..900_usize, 0..24)) {
            cuts.sort_unstable();
            let engine = engine();
            let (expected, findings) = whole(&engine, &text);
            let (got, streamed_findings) = streamed(&engine, &text, &cuts);
            prop_assert_eq!(&got, &expected);
            prop_assert_eq!(streamed_findings, findings);
        }
    }

    #[test]
    fn a_stream_cut_after_every_character_is_the_screened_whole() {
        let (engine, denying) = (engine(), denying());
        for pair in PIECES.iter().flat_map(|a| PIECES.iter().map(move |b| format!("{a}{b}The end."))) {
            let cuts: Vec<usize> = (0..pair.len()).collect();
            for engine in [&engine, &denying] {
                assert_eq!(streamed(engine, &pair, &cuts).0, whole(engine, &pair).0, "{pair}");
            }
        }
    }

    #[test]
    fn a_keyword_far_behind_a_number_has_no_say_in_where_that_number_ends() {
        let engine = engine();
        let apart = "G B 8 2 W E S T 1 2 3 4 5 6 9 8 7 6 5 4 3 2 ";
        let text = format!(
            "4111 1111 1111 1111 phone: +49 30 23125 317, or (555) 010-4477 4111 1111 1111 1111 {apart}{apart}my password is Tr0ub4dor&3. "
        );
        for cut in (0..text.len()).filter(|cut| text.is_char_boundary(*cut)) {
            assert_eq!(streamed(&engine, &text, &[cut]), whole(&engine, &text), "{cut}");
        }
    }

    #[test]
    fn plain_prose_leaves_soon_and_never_more_than_256_bytes_wait() {
        let engine = engine();
        let mut window = engine.window(Surface::Output);
        let prose = "It was agreed that the name of the customer, the address and card 12 of order 4471 at noon stay. ";
        let (mut shown, mut worst, mut first) = (0, 0, None);
        for (number, byte) in prose.repeat(40).chars().enumerate() {
            let text = window.push(byte.encode_utf8(&mut [0; 4]), &mut masks());
            shown += text.len();
            worst = worst.max(window.held_back());
            if shown > 0 && first.is_none() {
                first = Some(number);
            }
        }
        assert!(worst <= 256, "{worst}");
        assert!(first.unwrap() < 40, "{first:?}");
    }

    #[test]
    fn a_private_key_is_held_as_a_block_and_masked_whole() {
        let engine = engine();
        let body = "MIIEpAIBAAKCAQEA7abcDEF123/+\n".repeat(60);
        let text = format!("here:\n-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\nbye");
        let cuts: Vec<usize> = (0..text.len()).step_by(7).collect();
        assert_eq!(streamed(&engine, &text, &cuts).0, "here:\n[PRIVATE_KEY_1]\nbye");
    }

    #[test]
    fn a_text_without_any_break_is_cut_and_stays_bounded() {
        let engine = engine();
        let text = format!("{} AKIAIOSFODNN7ABCDEFG", "aB3".repeat(9000));
        let cuts: Vec<usize> = (0..text.len()).step_by(501).collect();
        let (got, _) = streamed(&engine, &text, &cuts);
        assert_eq!(got, whole(&engine, &text).0);
        assert!(got.ends_with("[SECRET_1]"), "{}", got.get(got.len() - 40..).unwrap_or_default());
    }

    #[test]
    fn after_a_refusal_nothing_more_leaves() {
        let text = "name = 'r'\n[[rule]]\nkinds = ['card']\naction = 'refuse'";
        let engine = Engine::new(&Profile::parse(text).unwrap()).unwrap();
        let mut window = engine.window(Surface::Output);
        let mut names = masks();
        let mut out = window
            .push("Your card is 4111 1111 1111 1111 and the code follows here for you now. ", &mut names);
        out += &window.push(&"More and more text that nobody should get to see. ".repeat(6), &mut names);
        assert!(window.refused());
        let end = window.finish(&mut names);
        assert_eq!((out + &end.text).as_str(), "Your card is ");
        assert_eq!(end.action, Action::Refuse);
    }

    #[test]
    fn a_profile_that_says_nothing_of_a_surface_lets_its_text_through_and_still_marks_where_it_came_from() {
        let text = "name = 'r'\n[[rule]]\nkinds = ['card']\nsurfaces = ['output']\naction = 'mask'\n\
            [[deny]]\nname = 'rival'\nphrases = ['acme rocket']\nsurfaces = ['title']\naction = 'refuse'";
        let engine = Engine::new(&Profile::parse(text).unwrap()).unwrap();
        let card = "Your acme rocket card is 4111 1111 1111 1111.";
        let on = |surface| engine.scan(card, surface);
        assert_eq!((on(Surface::User).text, on(Surface::User).taint), (card.into(), None));
        assert!(on(Surface::ToolResult).taint.is_some_and(|taint| !taint.suspicious));
        assert_eq!(on(Surface::Output).text, "Your acme rocket card is [CARD_1].");
        assert_eq!(on(Surface::Title).action, Action::Refuse, "a list speaks as well");
        let mut window = engine.window(Surface::User);
        assert_eq!(window.push(card, &mut masks()) + &window.finish(&mut masks()).text, card);
    }
}
