use proptest::prelude::*;

use super::{super::profile::Profile, *};

fn engine() -> Engine {
    let mask_all = "name = 'all'\n[[rule]]\nkinds = ['*']\naction = 'mask'\nthreshold = 0.0\n\
        [[deny]]\nname = 'rival'\nphrases = ['acme rocket company', '公司']\naction = 'mask'\n\
        [[allow]]\nkinds = ['phone']\ntexts = ['+49 30 23125 317']";
    Engine::new(&Profile::parse(mask_all).unwrap()).unwrap()
}

/// An engine with a pattern of its own in a `deny` list.
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
    // Detectors for whole texts mask nothing, and do not run on a stream.
    let near = verdict.findings.iter().filter(|finding| !matches!(finding.detector, "rule" | "classifier"));
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
    let prose =
        "It was agreed that the name of the customer, the address and card 12 of order 4471 at noon stay. ";
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
    let mut out =
        window.push("Your card is 4111 1111 1111 1111 and the code follows here for you now. ", &mut names);
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
