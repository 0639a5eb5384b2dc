use super::*;

fn tool(name: &str, about: &str, examples: &[&str]) -> ToolSpec {
    let examples = examples.iter().map(|example| (*example).to_owned()).collect();
    ToolSpec { name: name.into(), description: about.to_owned(), examples, ..find_tools() }
}

fn shop() -> Index {
    Index::new(&[
        tool("refund_order", "Give money back.", &["I want a refund"]),
        tool("track_parcel", "Where a parcel is.", &[]),
        tool("close_account", "Delete the account for ever.", &[]),
        tool("forecast", "Weather of a city.", &[]),
    ])
}

fn wish(text: &str) -> Wish<'_> {
    Wish::new(text)
}

#[test]
fn the_nearest_tools_are_offered_and_the_rest_can_be_found() {
    let chosen = shop().choose(&[0, 1, 2, 3], &wish("where is my parcel"), Limits { max: 1, drop: 3.0 });
    assert_eq!((chosen.tools, chosen.left_out), (vec![1], true));
    let all = shop().choose(&[0, 1, 2, 3], &wish("where is my parcel"), Limits { max: 8, drop: 99.0 });
    assert_eq!((all.tools.len(), all.left_out), (4, false));
    assert!(find_tools().input_schema.get("properties").is_some());
}

#[test]
fn a_tool_that_the_caller_may_not_call_is_never_offered() {
    for keep in [&[][..], &[2, 9][..]] {
        let asked = Wish { keep, ..wish("delete my account for ever") };
        let chosen = shop().choose(&[0, 1, 3, 9], &asked, Limits::default());
        assert!(!chosen.tools.contains(&2) && !chosen.tools.contains(&9), "{:?}", chosen.tools);
    }
    let asked = wish("delete my account");
    let seen = shop().scores(&[0, 1], &asked);
    let mut other = shop();
    other.holders.values_mut().for_each(|holders| holders.retain(|(tool, _)| *tool != 2));
    assert_eq!(seen, other.scores(&[0, 1], &asked), "a forbidden tool has no say");
}

#[test]
fn what_must_stay_stays_and_takes_no_place_from_the_others() {
    let asked = Wish { keep: &[3, 3, 0], ..wish("where is my parcel") };
    let chosen = shop().choose(&[0, 1, 2, 3], &asked, Limits { max: 1, drop: 9.0 });
    assert_eq!(chosen.tools, [3, 0, 1]);
}

#[test]
fn meaning_helps_where_words_do_not() {
    let cosines = [0.1, 0.2, 0.1, 0.7];
    let asked = Wish { cosines: Some(&cosines), ..wish("do I need an umbrella") };
    assert_eq!(shop().choose(&[0, 1, 2, 3], &asked, Limits { max: 1, drop: 9.0 }).tools, [3]);
    let hurried = Wish { glances: Some(&cosines), ..wish("do I need an umbrella") };
    assert_eq!(shop().choose(&[0, 1, 2, 3], &hurried, Limits { max: 1, drop: 9.0 }).tools, [3]);
    let examples = shop().choose(&[0, 1, 2, 3], &wish("refund"), Limits { max: 1, drop: 9.0 });
    assert_eq!(examples.tools, [0]);
}

#[test]
fn of_the_nearest_the_one_that_fits_closely_is_first() {
    let asked = std::cell::RefCell::new(Vec::new());
    let fits = |tools: &[usize]| {
        asked.borrow_mut().extend_from_slice(tools);
        tools.iter().map(|tool| if *tool == 2 { [0.9, 0.9] } else { [0.2, 0.2] }).collect()
    };
    let wish = Wish { closely: Some(Closely(&fits)), ..wish("something to help me with it") };
    let scores = shop().scores(&[0, 2, 3], &wish);
    assert!(scores[1] > scores[0] && scores[1] > scores[2], "{scores:?}");
    asked.borrow_mut().sort_unstable();
    assert_eq!(*asked.borrow(), [0, 2, 3], "only what the caller may call is compared");
}

#[test]
fn the_many_that_were_not_compared_stand_behind_those_that_were() {
    let tools: Vec<ToolSpec> = (0..200).map(|at| tool(&format!("tool{at}"), "about parcels", &[])).collect();
    let (index, all) = (Index::new(&tools), (0..200).collect::<Vec<_>>());
    let cosines: Vec<f32> = (0..200).map(|at| at as f32 / 200.0).collect();
    let fits = |tools: &[usize]| tools.iter().map(|tool| [-(*tool as f32), 0.0]).collect();
    let wish = Wish { cosines: Some(&cosines), closely: Some(Closely(&fits)), ..wish("where is it") };
    let chosen = index.choose(&all, &wish, Limits { max: NEAR + 2, drop: f32::INFINITY });
    assert_eq!(chosen.tools.first(), Some(&(200 - NEAR)), "the best fit of those that were compared");
    assert!(chosen.tools[..NEAR].iter().all(|tool| *tool >= 200 - NEAR), "{:?}", chosen.tools);
    assert_eq!(chosen.tools[NEAR..], [199 - NEAR, 198 - NEAR]);
}

proptest::proptest! {
    #[test]
    fn a_choice_is_bounded_allowed_and_without_doubles(
        text in "\\PC{0,40}",
        allowed in proptest::collection::vec(0_usize..6, 0..8),
        keep in proptest::collection::vec(0_usize..6, 0..4),
        cosines in proptest::collection::vec(proptest::num::f32::ANY, 0..5),
        max in 0_usize..4,
        close in proptest::bool::ANY,
    ) {
        let fits = |tools: &[usize]| tools.iter().map(|tool| [cosines.get(*tool).copied().unwrap_or(0.1); 2]).collect();
        let closely = close.then_some(Closely(&fits));
        let asked = Wish { cosines: Some(&cosines), glances: Some(&cosines), closely, keep: &keep, ..wish(&text) };
        let chosen = shop().choose(&allowed, &asked, Limits { max, drop: 2.0 });
        let unique: BTreeSet<_> = chosen.tools.iter().collect();
        proptest::prop_assert_eq!(unique.len(), chosen.tools.len());
        proptest::prop_assert!(chosen.tools.len() <= max + keep.len());
        proptest::prop_assert!(chosen.tools.iter().all(|tool| allowed.contains(tool) && *tool < 4));
    }
}
