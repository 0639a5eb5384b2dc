use super::*;

#[test]
fn a_schema_that_every_provider_takes_stays_itself() {
    let plain = json!({ "type": "object", "properties": { "a": { "anyOf": [{}, {}] } }, "required": ["a"] });
    assert!(matches!(object(&plain), Cow::Borrowed(same) if *same == plain));
}

#[test]
fn what_is_no_object_with_properties_becomes_one() {
    let empty = json!({ "type": "object", "properties": {} });
    for schema in [json!({ "type": "object" }), json!({}), json!(true), json!({ "type": ["object", "null"] })]
    {
        assert_eq!(*object(&schema), empty, "{schema}");
    }
    let closed = json!({ "type": "object", "additionalProperties": false });
    assert_eq!(object(&closed)["additionalProperties"], false);
}

#[test]
fn branches_at_the_top_become_one_object_with_all_that_any_of_them_has() {
    let text = json!({ "type": "string" });
    let by = |name: &str| json!({ "properties": { name: text, "n": { "type": "integer" } }, "required": [name, "n"] });
    for word in ["anyOf", "oneOf"] {
        let told =
            object(&json!({ "type": "object", "description": "Finds one.", word: [by("id"), by("mail")] }))
                .into_owned();
        let expected = json!({
            "type": "object",
            "description": "Finds one. Give one of these sets of arguments: (id, n) or (mail, n).",
            "properties": { "id": text, "n": { "type": "integer" }, "mail": text },
            "required": ["n"],
        });
        assert_eq!(told, expected);
    }
    let both =
        json!({ "properties": { "x": text }, "required": ["x"], "allOf": [by("id"), by("mail")], "not": {} });
    let told = object(&both).into_owned();
    assert_eq!(told["required"], json!(["x", "id", "n", "mail"]));
    assert_eq!((told.get("allOf"), told.get("not"), &told["type"]), (None, None, &json!("object")));
}

#[test]
fn a_part_that_the_branches_describe_otherwise_may_be_any_of_them() {
    let one = |kind: &str| json!({ "properties": { "kind": { "const": kind } }, "required": ["kind"] });
    let told = object(&json!({ "oneOf": [one("a"), one("b"), one("a")] })).into_owned();
    assert_eq!(told["properties"]["kind"], json!({ "anyOf": [{ "const": "a" }, { "const": "b" }] }));
    assert_eq!((&told["required"], told.get("description")), (&json!(["kind"]), None));
}

#[test]
fn references_are_followed_and_never_without_end() {
    let named = json!({
        "$ref": "#/$defs/Args",
        "$defs": { "Args": { "type": "object", "properties": { "a": {} }, "required": ["a"] } },
    });
    let told = object(&named).into_owned();
    assert_eq!((&told["required"], &told["$defs"]), (&json!(["a"]), &named["$defs"]));
    assert!(told["properties"]["a"].is_object() && told.get("$ref").is_none());
    let branch = json!({ "$ref": "#" });
    let ring = json!({ "anyOf": vec![branch; 50], "properties": { "a": {} } });
    assert_eq!(object(&ring)["properties"], json!({ "a": {} }));
}

/// Returns the references of a schema without a target in it, and the number of those with one.
fn references(schema: &Value) -> (Vec<String>, usize) {
    fn look(root: &Places<'_>, value: &Value, nowhere: &mut Vec<String>, somewhere: &mut usize) {
        let place = value.get("$ref").and_then(Value::as_str);
        match place.map(|place| root.meant(place)) {
            Some(None) => nowhere.push(value.to_string()),
            Some(Some(_)) => *somewhere += 1,
            None => {}
        }
        match value {
            Value::Object(fields) => fields.values().for_each(|field| look(root, field, nowhere, somewhere)),
            Value::Array(items) => items.iter().for_each(|item| look(root, item, nowhere, somewhere)),
            _ => {}
        }
    }
    let (mut nowhere, mut somewhere) = (Vec::new(), 0);
    look(&Places::of(schema), schema, &mut nowhere, &mut somewhere);
    (nowhere, somewhere)
}

#[test]
fn references_into_a_branch_are_kept_though_the_branch_is_gone() {
    let address = json!({ "type": "object", "properties": { "street": { "type": "string" } } });
    for word in ["anyOf", "oneOf", "allOf"] {
        let place = format!("#/{word}/0/properties/from");
        let schema = json!({ word: [
            { "properties": { "from": address, "to": { "$ref": place, "title": "to" } } },
            { "properties": { "all": { "items": { "$ref": place } }, "x": { "$ref": format!("{place}/properties/street") } } },
        ] });
        let told = object(&schema).into_owned();
        assert_eq!(references(&told), (Vec::new(), 3), "{told}");
        let to = &told["properties"]["to"];
        let named = to["$ref"].as_str().unwrap().strip_prefix('#').unwrap();
        assert_eq!((told.pointer(named), &to["title"]), (Some(&address), &json!("to")), "{told}");
        assert_eq!(told["$defs"].as_object().unwrap().len(), 2, "one for each place: {told}");
    }
}

#[test]
fn references_into_a_part_that_was_joined_with_another_are_kept() {
    let schema = json!({
        "properties": {
            "a": { "properties": { "b": { "type": "integer" } } },
            "c": { "$ref": "#/properties/a/properties/b" },
            "d": { "$ref": "#/properties/c" },
        },
        "allOf": [{ "properties": { "a": { "minProperties": 1 } } }],
    });
    let told = object(&schema).into_owned();
    assert_eq!(references(&told), (Vec::new(), 2), "{told}");
    assert_eq!(told["properties"]["d"]["$ref"], "#/properties/c", "what stays where it was is not touched");
}

#[test]
fn references_by_anchor_and_into_parts_with_odd_names_lead_where_they_led() {
    let text = json!({ "type": "string" });
    let named = json!({ "$anchor": "adr", "type": "string" });
    for (branches, own) in [
        (json!([{ "properties": { "x": named, "y": { "$ref": "#adr" } } }]), json!({})),
        (
            json!([{ "$anchor": "one", "type": "string" }, { "properties": { "n": { "$ref": "#one" } } }]),
            json!({}),
        ),
        (
            json!([{ "$anchor": "one", "type": "string" }, { "properties": { "n": { "$ref": "#/anyOf/0" } } }, { "properties": { "m": { "$ref": "#one" } } }]),
            json!({}),
        ),
        (json!([{ "properties": { "a/b": text, "c": { "$ref": "#/anyOf/0/properties/a~1b" } } }]), json!({})),
        (
            json!([{ "properties": { "a b": { "properties": { "s": text } } } }]),
            json!({ "a b": { "minProperties": 1, "x": text }, "c": { "$ref": "#/properties/a%20b/x" } }),
        ),
        (
            json!([{ "properties": { "a~b/c": { "minProperties": 1 } } }]),
            json!({ "a~b/c": { "x": text }, "c": { "$ref": "#/properties/a~0b~1c/x" } }),
        ),
    ] {
        let schema = json!({ "anyOf": branches, "properties": own });
        let told = object(&schema).into_owned();
        let (nowhere, somewhere) = references(&told);
        assert!(nowhere.is_empty() && somewhere > 0, "{nowhere:?} of {told}");
        let places = Places::of(&told);
        let last =
            told["properties"].as_object().unwrap().values().rfind(|value| value.get("$ref").is_some());
        let meant = places.meant(last.unwrap()["$ref"].as_str().unwrap()).unwrap();
        assert_eq!(meant["type"], "string", "{told}");
    }
    let itself = json!({ "$anchor": "me", "anyOf": [{ "properties": { "n": { "$ref": "#me" }, "m": { "$ref": "#" } } }] });
    let told = object(&itself).into_owned();
    assert_eq!((references(&told).1, told.get("$defs")), (2, None), "the root is where it was: {told}");
}

#[test]
fn references_in_a_circle_end_and_so_do_too_many_of_them() {
    let node = json!({ "type": "object", "properties": { "next": { "$ref": "#/anyOf/0/properties/node" } } });
    let schema = json!({
        "$defs": { "list": { "$ref": "#/anyOf/0/properties/node" }, "moved_1": {} },
        "anyOf": [{ "properties": { "node": node } }, { "properties": { "gone": { "$ref": "#/anyOf/7" } } }],
    });
    let told = object(&schema).into_owned();
    assert_eq!(references(&told), (Vec::new(), 3), "{told}");
    assert_eq!((&told["$defs"]["moved_1"], &told["properties"]["gone"]), (&json!({}), &json!({})));

    let many: Map<String, Value> = (0..1_000)
        .map(|n| (format!("p{n}"), json!({ "$ref": format!("#/anyOf/0/properties/p{}", (n + 1) % 1_000) })))
        .collect();
    let told = object(&json!({ "anyOf": [{ "properties": many }] })).into_owned();
    assert_eq!(told["properties"].as_object().unwrap().len(), 1_000);
    let (nowhere, somewhere) = references(&told);
    assert!(nowhere.is_empty() && somewhere >= BRANCHES, "{somewhere}");
    assert_eq!(told["$defs"].as_object().unwrap().len(), BRANCHES);
}
