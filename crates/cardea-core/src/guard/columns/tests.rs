use super::{
    super::{Engine, Profile, Surface, normalize::fold},
    made::ASK_EVERY,
    *,
};

fn headers() -> Headers {
    Headers::build().unwrap()
}

fn read(text: &str) -> String {
    let mut all = String::new();
    let keep = &mut |read: &Columns| {
        all.push_str(&read.view.text.replace("\n\n", "; "));
        Some(())
    };
    columns(&fold(text), &headers(), &|| false, keep).unwrap();
    all
}

#[test]
fn every_row_of_a_table_is_read_however_many_there_are() {
    for rows in [10, 1_000, 10_000] {
        let row = |n: usize| format!("{n},Ebba Norling,Anchor{n},0161 {n}");
        let cells: Vec<String> = (0..rows).map(row).collect();
        let other = "a;phone\nx;0162 1\n".to_owned();
        let told = read(&format!("id,full_name,password,phone\n{}\n{other}", cells.join("\n")));
        assert_eq!(told.matches("password: Anchor").count(), rows);
        assert!(told.contains(&format!("password: Anchor{}; phone: 0161 {}; ", rows - 1, rows - 1)));
        assert!(told.ends_with("phone: 0162 1; "), "and the next table");
    }
}

#[test]
fn a_table_may_have_any_number_of_columns() {
    for columns in [2, 64, 65, 200, 400] {
        let names: Vec<String> = (1..columns).map(|n| format!("custom_field_{n}")).collect();
        let cells = vec!["1"; columns - 1].join(";");
        let told = read(&format!("{};password\n{cells};Anker7\n", names.join(";")));
        assert_eq!(told, "password: Anker7; ", "{columns}");
    }
}

#[test]
fn a_reader_who_has_had_enough_gets_no_more() {
    let text = format!("id,phone\n{}", "1,0161 2\n".repeat(30_000));
    let mut portions = 0;
    let mut once = |_: &Columns| {
        portions += 1;
        None
    };
    assert!(columns(&fold(&text), &headers(), &|| false, &mut once).is_none());
    assert_eq!(portions, 1);
}

#[test]
fn lists_of_names_are_read_once_however_many_words_stand_before_them() {
    for word in ["insert (", "COPY ("] {
        let block = format!("{}{}) ", format!("{word}a,").repeat(200), "a,".repeat(1040));
        let rows = format!("{}\n", format!("{word}pin)").repeat(400));
        for block in [block, rows] {
            let asked = |blocks: usize| {
                let (asked, text) = (std::cell::Cell::new(0), block.repeat(blocks));
                let late = || {
                    asked.set(asked.get() + 1);
                    false
                };
                columns(&fold(&text), &headers(), &late, &mut |_| Some(())).unwrap();
                (asked.get(), text.len() / ASK_EVERY)
            };
            let (few, many) = (asked(10), asked(20));
            assert!(few.0 <= 3 * few.1 + 3 && many.0 <= 3 * many.1 + 3, "{word} {few:?} {many:?}");
            assert!(many.0 > 0, "it asks whether it is late");
        }
    }
}

#[test]
fn who_is_late_reads_no_more() {
    let text = "insert into t (pin) values (1);\n".repeat(10_000);
    let mut read = 0;
    let late = || true;
    let gave = columns(&fold(&text), &headers(), &late, &mut |_| {
        read += 1;
        Some(())
    });
    assert!(gave.is_none() && read == 0, "{read}");
}

/// Ten rows with these instead of the first.
fn passwords(first: &str) -> (usize, String) {
    let row = |n: usize| format!("{n},Ebba Norling,Anchor{n}xQ,ok\n");
    let rest: String = (1..10).map(row).collect();
    let told = read(&format!("id,full_name,password,notes\n{first}\n{rest}"));
    (told.matches("password: Anchor").count(), told)
}

#[test]
fn a_row_that_does_not_fit_ends_no_table() {
    for (first, count) in [
        ("0,Bo Li,Anchor0xQ,ok", 10),
        ("0,Bo Li,Anchor0xQ,\"called \"\"the boss\"\", twice\"", 10),
        ("0,Bo Li,Anchor0xQ,\"called \\\"the boss\\\" once, twice\"", 10),
        ("0,Bo Li,Anchor0xQ,\"first line\nsecond line\"", 10),
        ("0,\"Bo\n\nLi, jr\",Anchor0xQ,ok", 10),
        ("0,Bo Li,Anchor0xQ,\"ok", 10),
        ("0,Bo Li,Anchor0xQ", 9),
        ("", 9),
        ("# what follows is old", 9),
        ("\"", 9),
        (&format!("0,{},Anchor0xQ,ok", "QUJD".repeat(3_000)), 10),
        (&"x\",\"\n".repeat(60), 9),
    ] {
        assert_eq!(passwords(first).0, count, "{first:.80} {}", passwords(first).1);
    }
    assert!(passwords(&"no row at all\n".repeat(70)).1.is_empty(), "a table ends in the end");
    let prose = "The list is old, the rest is new.\nCall first, then write.\n";
    assert_eq!(read(&format!("id,phone\n1,0161 2\n\n{prose}")), "phone: 0161 2; ", "prose is no row");
}

#[test]
fn a_table_is_read_under_its_own_names_whatever_stood_before_it() {
    for between in ["\n", "\n\n\n", "and some words about it\n", &"a line of prose\n".repeat(40)] {
        for sign in [",", ";", "\t"] {
            let text = format!(
                "id,full_name,email,notes\n1,Ebba Norling,e@x.example,ok\n{between}service,owner,password,env\n\
                 billing,it,Anchor71xQ,prod\n"
            );
            let told = read(&text.replace(',', sign));
            assert!(told.contains("password: Anchor71xQ"), "{told}");
        }
        let told = read(&format!(
            "| Name | Phone |\n|---|---|\n| Bo | 0161 1 |\n{between}\n| User | Password |\n|---|---|\n| backup | Anchor71xQ |\n"
        ));
        assert!(told.contains("password: Anchor71xQ"), "{told}");
        let told = read(&format!(
            "| User | Password |\n|---|---|\n| backup | Anchor71xQ |\n{between}\n| Setting | Value |\n|---|---|\n\
             | timeout | Seconds30 |\n"
        ));
        assert!(told.contains("password: Anchor71xQ") && !told.contains("Seconds30"), "{told}");
    }
}

#[test]
fn names_right_below_the_rows_of_another_table_are_read_as_names() {
    for (above, column) in [
        ("id,full_name,city\n1,Li,Rome\n", "host,user,password\ndb1,app,Anchor10xQ\n"),
        ("id,email,city\n1,a@b.example,Rome\n", "a,pw,b\nx,Anchor10xQ,y\n"),
    ] {
        let told = read(&format!("{above}{column}"));
        assert!(told.contains("password: Anchor10xQ"), "{told}");
    }
    let told = read("id,phone,kind\n1,0161 1,token\nx,login,password\n2,0161 2,home\n");
    assert!(told.contains("phone: 0161 2"), "{told}");
}

#[test]
fn each_name_of_a_secret_may_stand_right_below_other_rows() {
    for name in [
        "Passwort",
        "pwd",
        "kennwort",
        "mdp",
        "contraseña",
        "clave",
        "senha",
        "wachtwoord",
        "haslo",
        "lösenord",
        "passord",
        "adgangskode",
        "salasana",
        "heslo",
        "şifre",
        "parola",
        "пароль",
        "密码",
        "secret",
        "token",
        "api key",
        "access key",
        "pin",
    ] {
        let told = read(&format!("id,email,city\n1,a@b.example,Rome\nhost,{name},x\ndb,Anchor10xQ,y\n"));
        assert!(told.contains(": Anchor10xQ"), "{name} {told}");
    }
}

#[test]
fn a_password_is_read_to_the_end_of_its_cell() {
    let standard = Profile { second_look: None, ..Profile::built_in("standard").unwrap() };
    let engine = Engine::new(&standard).unwrap();
    for password in [
        "Tr0ub dor&3x!9",
        "Tr0ub;dor&3x9",
        "Tr0ub'dor3x9K",
        "Tr0ub`dor3x9K",
        "Tr0ub\"dor3x9K",
        "Tr0ub<dor>3x9K",
        "Tr0ub, dor 3x9K",
        "Tr0ub{dor}3x9,",
        "Tr0ub\\dor 3x9K",
        "Tr0ub(dor) 3x>9K",
    ] {
        for text in [
            format!("| User | Password |\n|---|---|\n| ann | {password} |\n"),
            format!("user,password\nann,\"{}\"\n", password.replace('"', "\"\"")),
            format!("user;password\nann;\"{}\"\n", password.replace('"', "\"\"")),
            format!("user\tpassword\nann\t{password}\n"),
            format!("insert into t (id, password) values (1, '{}');", password.replace('\'', "''")),
        ] {
            let masked = engine.scan(&text, Surface::ToolResult).text;
            assert!(masked.contains("[PASSWORD_1]"), "{masked}");
            assert!(!masked.contains("Tr0ub") && !masked.contains("3x"), "{masked}");
        }
        let told = serde_json::json!({ "password": password.replace(',', "x") }).to_string();
        let masked = engine.scan(&told, Surface::ToolResult).text;
        assert!(password.contains(['"', '`']) || masked.contains("[PASSWORD_1]\""), "{masked}");
    }
    for text in [
        "| User | Password |\n|---|---|\n| ann | see the <vault> |\n| bo | <bo's 1 password> |\n",
        "user,password\nann,\"to be set, by 2027\"\n",
    ] {
        assert_eq!(engine.scan(text, Surface::ToolResult).text, text);
    }
}

#[test]
fn a_column_with_an_unusual_name_hides_no_other() {
    for odd in [
        "2fa",
        "e-mail?",
        "cost (€)",
        "2nd factor",
        "% used",
        "✅",
        "Created @",
        "user & email",
        "$role",
        "[notes]",
        "last four digits of the card that is used now",
        "1) user",
    ] {
        for (header, row) in [
            (format!("{odd},user,password"), "x,ann,Anchor10xQ"),
            (format!("user,{odd},password"), "ann,x,Anchor10xQ"),
            (format!("user,password,{odd}"), "ann,Anchor10xQ,x"),
        ] {
            assert!(read(&format!("{header}\n{row}\n")).contains("password: Anchor10xQ"), "{header}");
            let mark = |line: &str| format!("| {} |", line.replace(',', " | "));
            let table = format!("{}\n|---|---|---|\n{}\n", mark(&header), mark(row));
            assert!(read(&table).contains("password: Anchor10xQ"), "{table}");
        }
    }
    for name in ["userPassword", "loginPassword", "adminpassword"] {
        assert_eq!(read(&format!("uid,{name}\nann,Anchor10xQ\n")), "password: Anchor10xQ; ");
    }
    for text in [
        "1,reset password,open\n2,VPN2024broken,closed\n",
        "ann@x.example,reset password,open\nbo@x.example,VPN2024broken,closed\n",
        "$12.50,password,x\n1,Anchor10xQ,2\n",
    ] {
        assert!(read(text).is_empty(), "{text}");
    }
}

#[test]
fn empty_cells_between_strokes_are_cells() {
    for text in [
        "|user|password|note|\n|---|---|---|\n|ann|Anchor10xQ||\n",
        "|#|user|password|\n|---|---|---|\n||ann|Anchor10xQ|\n",
        " user | password | note \n------+------+------\n ann | Anchor10xQ | \n",
        "user|password|note\nann|Anchor10xQ|\n",
    ] {
        assert_eq!(read(text), "password: Anchor10xQ; ", "{text}");
    }
}

#[test]
fn a_sign_for_inches_swallows_no_rows() {
    let rows: String = (1..10).map(|n| format!("{n},Bo Li,Anchor{n}xQ,fine\n")).collect();
    let told = read(&format!(
        "id,name,password,notes\n0,Bo Li,Anchor0xQ,\"inch\n{rows}10,Bo Li,Anchor10xQ,\"fine\"\n"
    ));
    assert_eq!(told.matches("password: Anchor").count(), 11, "{told}");
}

#[test]
fn statements_whose_quotes_do_not_close_hide_none_behind_them() {
    for first in ["(1,'x1','O'Brien')", "(1,it's,3)", "('x)"] {
        for times in 1..40 {
            let odd = format!("insert into a (id, pin, user) values {first};\n").repeat(times);
            let told = read(&format!(
                "{odd}insert into t (id, full_name, password) values (1,'Li','Anchor10xQ'),(2,'Bo','Anchor11xQ');\n"
            ));
            assert_eq!(told.matches("password: Anchor1").count(), 2, "{first} {times}: {told}");
        }
    }
}

#[test]
fn rows_in_brackets_are_read_however_long_their_neighbours_are() {
    let long = "ab".repeat(3_000);
    for first in [
        format!("(0,'{long}','Anchor0xQ')"),
        "(0,'it\\'s (his), really','Anchor0xQ')".to_owned(),
        "(0,'it''s (his)','Anchor0xQ')".to_owned(),
        "(0,'C:\\','Anchor0xQ')".to_owned(),
        "(0,'Bo','and more','Anchor0xQ'), (0,'Bo','Anchor0xQ')".to_owned(),
        "(0,'Bo','Anchor0xQ'); insert into t (id, full_name, password) values (0,'it's)".to_owned(),
    ] {
        let rest =
            "insert into t (id, full_name, password) values (1,'Li','Anchor1xQ'),(2,'Ed','Anchor2xQ');";
        let told = read(&format!(
            "insert into t (id, full_name, password) values {first}, (3,'Al','Anchor3xQ');\n{rest}"
        ));
        assert!((0..3).all(|n| told.contains(&format!("password: Anchor{n}xQ"))), "{first:.60} {told:.300}");
    }
}

#[test]
fn rows_and_brackets_that_never_end_cost_no_more_than_their_length() {
    for piece in [
        "insert (pin)'('",
        "id,pin\nx\",\"\n",
        "insert (pin)(",
        "insert (pin) (1,2)",
        "id,pin\n\"",
        "insert (dob,dob,dob,dob,pin)(1)",
        "insert (pin) select 1 ",
        "merge into (pin) select ",
    ] {
        let asked = |times: usize| {
            let (asked, text) = (std::cell::Cell::new(0), piece.repeat(times));
            let late = || {
                asked.set(asked.get() + 1);
                false
            };
            columns(&fold(&text), &headers(), &late, &mut |_| Some(())).unwrap();
            (asked.get(), text.len() / ASK_EVERY)
        };
        let read = std::cell::Cell::new(0);
        let text = piece.repeat(5_000);
        let keep = &mut |table: &Columns| {
            read.set(read.get() + table.view.text.len());
            Some(())
        };
        columns(&fold(&text), &headers(), &|| false, keep).unwrap();
        assert!(read.get() <= 4 * text.len(), "{piece:?} {}", read.get());
        let (calls, own) = asked(20_000);
        assert!(calls <= 24 * own + 8, "{piece:?} {calls} {own}");
    }
}

#[test]
fn cells_are_read_under_the_names_of_their_columns() {
    assert_eq!(
        read("id;nome;cpf\n1;Iara Moura;12\n2;Rui Alves;34\n"),
        "surname: Iara Moura; cpf: 12; surname: Rui Alves; cpf: 34; "
    );
    assert_eq!(read("| Name | Phone |\n|------|-------|\n| Bo Li | 12 |\n"), "surname: Bo Li; phone: 12; ");
    assert_eq!(
        read("date;account;amount\n2024-05-01;4400;119\n2024-05-02;73920185;2\n"),
        "account number: 73920185; "
    );
    assert_eq!(read("\"Last Name\",\"E-mail\"\n\"Roy, A\",\"x@y\""), "surname: Roy, A; e-mail: x@y; ");
    assert_eq!(
        read("insert into t (id, nome, cpf) values (8, 'Rui (Jr) Alves', '12'), (9, 'Bo', '34');"),
        "surname: Rui (Jr) Alves; cpf: 12; surname: Bo; cpf: 34; "
    );
    assert_eq!(
        read("COPY p.payees (id, holder, iban) FROM stdin;\n7\tBo Li\t12\n8\tRui Alves\t34\n\\.\nx\ty\tz\n"),
        "surname: Bo Li; iban: 12; surname: Rui Alves; iban: 34; "
    );
    assert_eq!(read("Guest,Room,Passport\n\"Roy, A\",9,12\n"), "surname: Roy, A; passport: 12; ");
}

#[test]
fn names_in_double_strokes_and_other_words_for_inserting_are_known() {
    for (text, told) in [
        ("||User||Password||\n|ann|Anchor7|\n|bo|Anchor8|\n", "password: Anchor7; password: Anchor8; "),
        ("||Name|Password|\n|1|ann|Anchor7|\n", "password: Anchor7; "),
        ("REPLACE INTO t (user,password) VALUES ('ann','Anchor7');", "password: Anchor7; "),
        ("merge into t (user, password) values ('ann','Anchor7');", "password: Anchor7; "),
        ("INSERT INTO t (user,password) SELECT 'ann','Anchor7' FROM dual;", "password: Anchor7; "),
        ("insert into t (user, password) select 'ann', 'Anchor7'", "password: Anchor7; "),
        ("insert into t (user,password) select name, pw, 3 from u", ""),
    ] {
        assert_eq!(read(text), told, "{text}");
    }
}

#[test]
fn columns_of_secrets_are_read_and_what_tells_about_them_is_not() {
    assert_eq!(
        read("| host | user | password |\n|---|---|---|\n| nas-1 | backup | Anchor7 |\n"),
        "password: Anchor7; "
    );
    assert_eq!(read("user;Kennwort\nops;Anker7\n"), "password: Anker7; ");
    assert_eq!(read("service,api_key,owner\nbilling,ab12,it\n"), "api_key: ab12; ");
    assert!(read("test,pass,fail_rate,password_hash\nunit,12,3,ab12\n").starts_with("password: 12; "));
    for text in ["user,password changed at\nops,2026-01-02\n", "token type,token limit\nbearer,4096\n"] {
        assert!(read(text).is_empty(), "{text}");
    }
}

#[test]
fn a_cell_of_a_query_is_read_under_the_name_behind_it() {
    assert_eq!(
        read("select '57-93-37' as mrn, 'Rosa Lind' AS patient_name, 'x' as kind"),
        "mrn: 57-93-37; surname: Rosa Lind; "
    );
    assert!(read("it's as good as any, 'blue' as colour").is_empty());
}

#[test]
fn tables_of_things_are_left_alone() {
    for text in
        ["sku,name,price\nA1,Blue Hose,3\n", "a, b and c\nd, e and f\n", "", "insert coin (now) values (1)"]
    {
        assert!(read(text).is_empty(), "{text}");
    }
}

#[test]
fn places_lead_back_to_the_cells() {
    let text = "né,phone\n1,é0161\n";
    let mut places = Vec::new();
    let read = &mut |read: &Columns| {
        let at = read.view.text.find("e0161")?;
        places.push(read.view.back(at, at + 5));
        Some(())
    };
    columns(&fold(text), &headers(), &|| false, read).unwrap();
    let cell = places.pop().and_then(|(from, to)| text.get(from..to));
    assert_eq!(cell, Some("é0161"));
}
