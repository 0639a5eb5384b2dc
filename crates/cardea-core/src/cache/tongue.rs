//! Function words of several languages: articles, pronouns, prepositions, and words that refer back.
//!
//! Written from general knowledge of the languages and never from test data. The lists are used only for texts in
//! their language, since a function word of one is a plain word of another: `die`, `son`.

use std::{collections::HashMap, sync::LazyLock};

use super::{alike::classes, lexicon::STOP, relations::meanings, word::Word};

/// Grammatical case of a word, by its form: whether it acts or is acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Acts,
    Suffers,
    /// Possessive: `my`.
    Owns,
    /// Not shown by the form: `you`.
    Either,
}

impl Case {
    /// Returns the case in a passive sentence.
    pub(super) const fn turned(self, into: Self) -> Self {
        match self {
            Self::Acts | Self::Suffers => into,
            Self::Owns | Self::Either => self,
        }
    }
}

/// The function words of a language, each list separated by spaces.
#[derive(Debug)]
pub(super) struct Tongue {
    /// Index in [`ALL`].
    at: usize,
    /// Words for known things: `the`, `our`, `this`.
    definite: &'static str,
    /// Words for something mentioned before: `it`, `there`.
    pointers: &'static str,
    /// Beginnings of a question that continue the conversation.
    pub(super) openings: &'static [&'static str],
    /// Pronouns (1 I, 2 you, 3 he, 4 we, 6 they, 7 she), by case: acting, acted upon, possessive, or not shown by the
    /// form.
    persons: &'static [(u8, [&'static str; 4])],
    /// Indefinite articles: `a`.
    articles: &'static str,
    /// Auxiliaries and other words that are in no other list.
    small: &'static str,
    /// Prepositions, which give a part its role.
    roles: &'static str,
    /// Conjunctions of equal parts.
    joins: &'static str,
    /// Words before the actor in a passive sentence, and words that must precede them.
    by: &'static str,
    be: &'static str,
    /// Articles of what is acted upon: `den`.
    suffers: &'static str,
    /// Whether function words are joined to the next or the preceding word: `l'agent`, `peut-il`.
    elides: bool,
}

/// Kinds of function words, as bits.
const DEFINITE: u16 = 1;
const POINTER: u16 = 1 << 1;
const ARTICLE: u16 = 1 << 2;
const ROLE: u16 = 1 << 3;
const JOIN: u16 = 1 << 4;
const BY: u16 = 1 << 5;
const BE: u16 = 1 << 6;
const SUFFERS: u16 = 1 << 7;
const OTHER: u16 = 1 << 8;

/// The kinds of a word in one language.
#[derive(Debug, Clone, Copy, Default)]
struct Small {
    bits: u16,
    person: Option<(u8, Case)>,
}

type Words = HashMap<&'static str, Small>;

static WORDS: LazyLock<Vec<Words>> = LazyLock::new(|| ALL.iter().map(|tongue| tongue.read()).collect());

impl Tongue {
    /// Returns the language of a text: the one with the most function words in it. `None` if it cannot be determined.
    pub(super) fn of(text: &[Word]) -> Option<&'static Self> {
        let (mut best, mut most) = (None, 0);
        for tongue in ALL {
            let found = tongue.count(text);
            if found > most {
                (best, most) = (Some(*tongue), found);
            }
        }
        best.or_else(|| is_english(text).then_some(&ENGLISH))
    }

    /// Returns the language of a text, unless a function word may be there by chance: `na` is Dutch and Polish.
    pub(super) fn surely(text: &[Word]) -> Option<&'static Self> {
        let tongue = Self::of(text)?;
        let found = tongue.count(text);
        let many = found > 1 && found * 4 >= text.len();
        (if tongue.is_english() { is_english(text) } else { many }).then_some(tongue)
    }

    /// Returns the language of a text if its function words are known here. `None` if it may be another language.
    pub(super) fn known(text: &[Word]) -> Option<&'static Self> {
        if text.iter().any(|word| word.low.contains(|c: char| c.is_alphabetic() && !is_latin(c))) {
            return None;
        }
        let others = || ALL.iter().copied().filter(|tongue| !tongue.is_english());
        let most = others().map(|tongue| tongue.count(text)).max().unwrap_or_default();
        let (plain, known) = english_words(text);
        // In a text with almost only English words, a function word of another language is there by chance: `all`,
        // `a`.
        let all = known * 5 >= plain * 4 && most <= ENGLISH.count(text) + 1;
        let none = most == 0 && known * 3 >= plain * 2;
        if all || none || known * 2 >= plain && most < ENGLISH.count(text) {
            return Some(&ENGLISH);
        }
        let most = Some(most).filter(|most| *most > 0);
        others().find(|tongue| Some(tongue.count(text)) == most)
    }

    fn count(&self, text: &[Word]) -> usize {
        let small = |word: &str| self.is_small(word) || self.person(word).is_some();
        let count = |word: &str| {
            let joined = word.contains('\'') || self.elides && word.contains('-');
            if joined {
                self.cut(word).into_iter().filter(|part| small(part)).count()
            } else {
                usize::from(small(word))
            }
        };
        text.iter().map(|word| count(&word.low)).sum()
    }

    /// Splits a word into the parts that are words of their own. `L'agent peut-il` names the agent once.
    pub(super) fn cut<'a>(&self, word: &'a str) -> Vec<&'a str> {
        if self.elides {
            let echo = |part: &&str| {
                !part.is_empty() && !matches!(*part, "il" | "elle" | "ils" | "elles" | "on" | "t")
            };
            let (first, rest) = word.split_once('-').unwrap_or((word, ""));
            return first
                .split('\'')
                .filter(|part| !part.is_empty())
                .chain(rest.split('-').filter(echo))
                .collect();
        }
        match word.split_once('\'') {
            Some((person, "m" | "d" | "ll" | "ve" | "re")) => vec![person],
            _ => vec![word],
        }
    }

    /// Splits a word into all parts that are words of their own.
    pub(super) fn pieces<'a>(&self, word: &'a str) -> Vec<&'a str> {
        if self.elides {
            word.split(['\'', '-']).filter(|part| !part.is_empty()).collect()
        } else {
            vec![word]
        }
    }

    /// Builds one table from the lists.
    fn read(&self) -> Words {
        let lists = [
            (DEFINITE, self.definite),
            (POINTER, self.pointers),
            (ARTICLE, self.articles),
            (ROLE, self.roles),
            (JOIN, self.joins),
            (BY, self.by),
            (BE, self.be),
            (SUFFERS, self.suffers),
            (OTHER, self.small),
        ];
        let mut words = Words::new();
        for (bit, list) in lists {
            list.split(' ').for_each(|word| words.entry(word).or_default().bits |= bit);
        }
        for word in STOP.iter().filter(|_| self.is_english()) {
            words.entry(word).or_default().bits |= OTHER;
        }
        for (person, forms) in self.persons.iter().rev() {
            for (list, case) in forms.iter().zip([Case::Acts, Case::Suffers, Case::Owns, Case::Either]).rev()
            {
                list.split(' ')
                    .for_each(|word| words.entry(word).or_default().person = Some((*person, case)));
            }
        }
        words.remove("");
        words
    }

    fn look(&self, word: &str) -> Small {
        let words = WORDS.get(self.at).and_then(|words| words.get(word));
        words.copied().unwrap_or_default()
    }

    fn has(&self, word: &str, bits: u16) -> bool {
        self.look(word).bits & bits != 0
    }

    /// Returns whether a word concerns how something is asked, not what.
    pub(super) fn is_small(&self, word: &str) -> bool {
        self.look(word).bits != 0 || self.is_english() && word.ends_with("n't")
    }

    pub(super) fn person(&self, word: &str) -> Option<(u8, Case)> {
        self.look(word).person
    }

    /// Returns whether a word precedes a noun and only marks it as one.
    pub(super) fn names(&self, word: &str) -> bool {
        self.has(word, DEFINITE | ARTICLE | SUFFERS)
    }

    /// Returns whether a word precedes a noun and carries no meaning.
    pub(super) fn is_article(&self, word: &str) -> bool {
        const ARTICLES: &str = "the a an der die das den dem des ein eine einer eines einen einem le la les l un une el los \
                                las unos unas il lo i gli uno o os as um uma uns umas de het een";
        self.has(word, ARTICLE | DEFINITE) && ARTICLES.split(' ').any(|article| article == word)
    }

    /// Returns whether a word marks a thing as known. `my` and `our` do; `your` refers to the one asked.
    pub(super) fn is_definite(&self, word: &str) -> bool {
        self.has(word, DEFINITE) || matches!(self.person(word), Some((1 | 4, Case::Owns)))
    }

    /// Returns whether a word stands for someone or something mentioned before.
    pub(super) fn points(&self, word: &str) -> bool {
        self.has(word, POINTER) || matches!(self.person(word), Some((3 | 6 | 7, _)))
    }

    pub(super) fn gives_role(&self, word: &str) -> bool {
        self.has(word, ROLE)
    }

    pub(super) fn joins(&self, word: &str) -> bool {
        self.has(word, JOIN)
    }

    pub(super) fn by(&self, word: &str) -> bool {
        self.has(word, BY)
    }

    pub(super) fn be(&self, word: &str) -> bool {
        self.has(word, BE)
    }

    /// Returns whether it is an article of an actor.
    pub(super) fn acts(&self, word: &str) -> bool {
        self.capitals() && matches!(word, "der" | "ein")
    }

    pub(super) fn suffers(&self, word: &str) -> bool {
        self.has(word, SUFFERS)
    }

    /// Returns whether it is a preposition of possession.
    pub(super) fn means_of(&self, word: &str) -> bool {
        matches!(word, "of" | "von" | "vom" | "de" | "du" | "des" | "d" | "del" | "di" | "do" | "da" | "van")
            && self.gives_role(word)
    }

    pub(super) const fn same(&self, other: &Self) -> bool {
        self.at == other.at
    }

    pub(super) fn is_english(&self) -> bool {
        self.at == ENGLISH.at
    }

    /// Returns whether the language capitalises all nouns, so that a capital does not mark a name.
    pub(super) fn capitals(&self) -> bool {
        self.at == GERMAN.at
    }
}

/// Returns whether at least half of the content words are English.
fn is_english(text: &[Word]) -> bool {
    let plain = || text.iter().filter(|word| !word.light() && word.number.is_none() && !word.name);
    let known = plain().filter(|word| meanings(&word.low) != meanings("")).count();
    known > 0 && known * 2 >= plain().count()
}

fn is_latin(letter: char) -> bool {
    letter < '\u{250}' || ('\u{1e00}'..='\u{1eff}').contains(&letter)
}

/// Returns how many words of a text are neither names nor numbers, and how many of them are known to be English.
fn english_words(text: &[Word]) -> (usize, usize) {
    let plain = || text.iter().filter(|word| word.number.is_none() && !word.name);
    let small = |piece: &str| ENGLISH.is_small(piece) || ENGLISH.person(piece).is_some();
    let known = |word: &&Word| {
        let low = word.low.as_str();
        word.light()
            || ENGLISH.cut(low).iter().any(|piece| small(piece))
            || meanings(low) != meanings("")
            || classes(low).next().is_some()
    };
    (plain().count(), plain().filter(known).count())
}

/// Of two languages with the same count, the first one applies.
const ALL: &[&Tongue] = &[&ENGLISH, &GERMAN, &FRENCH, &SPANISH, &ITALIAN, &PORTUGUESE, &DUTCH];

pub(super) static ENGLISH: Tongue = Tongue {
    at: 0,
    definite: "the this that these those said",
    pointers: "it its that this these those they them their he him his she her hers there then so same again also too \
               else instead other another more former latter above previous earlier ones one both either neither \
               continue yes no ok okay sure such similar respective respectively remaining rest already yet still \
               anyway though",
    openings: &["and", "but", "or", "because", "what about", "how about", "why not", "how so", "what if"],
    persons: &[
        (1, ["i i'd i'll i'm i've", "me", "my mine myself", ""]),
        (2, ["", "", "your yours", "you yourself yourselves"]),
        (3, ["he", "him", "his", ""]),
        (7, ["she", "", "hers", "her"]),
        (4, ["we", "us", "our ours ourselves", ""]),
        (6, ["they", "them", "their theirs", ""]),
    ],
    articles: "a an some any",
    small: "whom whose",
    roles: "of for in on at to from into onto with without about after before during since until till under over \
            against between via than as off per within toward towards",
    joins: "and or nor versus vs",
    by: "by",
    be: "is are was were be been being am get got gets",
    suffers: "",
    elides: false,
};

static GERMAN: Tongue = Tongue {
    at: 1,
    definite: "der die das den dem des dieser diese dieses diesen diesem jener jene jenes jenen jenem",
    pointers: "es da dort dann so damit davon dazu dafür daran darauf darin darüber dabei dessen deren denen dasselbe \
               derselbe dieselbe selben andere anderen anderer anderes weitere nochmal wieder auch sonst beide beiden \
               ja nein schon noch bereits hier",
    openings: &[
        "und",
        "aber",
        "oder",
        "weil",
        "was ist mit",
        "wie ist es mit",
        "wie sieht es mit",
        "warum nicht",
    ],
    persons: &[
        (1, ["ich", "mich mir", "mein meine meiner meines meinen meinem", ""]),
        (
            2,
            [
                "du ihr",
                "dich dir euch",
                "dein deine deiner deines deinen deinem euer eure euren eurem eurer",
                "",
            ],
        ),
        (3, ["er", "ihn ihm", "sein seine seiner seines seinen seinem", ""]),
        (7, ["", "", "ihre ihrer ihres ihren ihrem", "sie"]),
        (4, ["wir", "uns", "unser unsere unserer unseres unseren unserem", ""]),
        (6, ["", "ihnen", "", ""]),
    ],
    articles: "ein eine einer eines einen einem",
    small: "kann kannst können könnt könnte könnten darf darfst dürfen dürft muss musst müssen \
            müsst soll sollst sollen sollt will willst wollen wollt möchte möchten hat habe hast haben habt hatte ist \
            sind bin bist seid war waren wird werde wirst werden wurde wurden wie was wer wen wem wann wo warum wieso \
            welche welcher welches welchen welchem bitte denn nur man sich dass ob wenn",
    roles: "zu zum zur an am auf aus bei beim für gegen in im ins mit nach über um unter vom von vor ohne seit bis \
            zwischen während durch",
    joins: "und oder",
    by: "",
    be: "",
    suffers: "den dem einen einem",
    elides: false,
};

static FRENCH: Tongue = Tongue {
    at: 2,
    definite: "le la les l ce cet cette ces",
    pointers: "y en ça cela ceci celui celle ceux celles là ici alors aussi encore même mêmes autre autres déjà \
               dessus oui non lui leur leurs",
    openings: &["et", "mais", "ou", "parce que", "qu'en est-il", "pourquoi pas"],
    persons: &[
        (1, ["je j", "me m moi", "mon ma mes", ""]),
        (2, ["tu", "te t toi", "ton ta tes votre vos", "vous"]),
        (3, ["il", "lui", "son sa ses", ""]),
        (7, ["elle", "", "", ""]),
        (4, ["", "", "notre nos", "nous"]),
        (6, ["ils elles", "eux", "leur leurs", ""]),
    ],
    articles: "un une",
    small: "d qu que qui quoi est ce c s n se est-ce quel quelle quels quelles quand où comment pourquoi combien \
            peux peut pouvons pouvez peuvent puis pourrait dois doit devons devez doivent ai as a avons avez ont ne pas",
    roles: "à au aux de du des dans en sur sous pour avec sans chez vers depuis avant après contre entre",
    joins: "et ou",
    by: "par",
    be: "être est été sont suis es êtes sommes",
    suffers: "",
    elides: true,
};

static SPANISH: Tongue = Tongue {
    at: 3,
    definite: "el la los las este esta estos estas ese esa esos esas aquel aquella",
    pointers: "lo le les eso esto aquello allí ahí aquí entonces también otra otro otras otros mismo misma ya todavía \
               aún sí no",
    openings: &["y", "pero", "o", "porque", "qué tal", "y si", "por qué no"],
    persons: &[
        (1, ["yo", "me mí", "mi mis mío mía", ""]),
        (2, ["tú usted ustedes", "te ti os", "tu tus vuestro vuestra", ""]),
        (3, ["él", "", "su sus", ""]),
        (7, ["ella", "", "", ""]),
        (4, ["nosotros nosotras", "nos", "nuestro nuestra nuestros nuestras", ""]),
        (6, ["ellos ellas", "", "", ""]),
    ],
    articles: "un una unos unas",
    small: "que qué quién cuál cuáles cuándo dónde cómo cuánto cuánta cuántos puede puedo puedes \
            podemos pueden debe debo debes debemos deben es son está están hay ha he has han se tiene tengo tienes",
    roles: "a al de del en para con sin por sobre desde hasta entre contra hacia",
    joins: "y o e u",
    by: "por",
    be: "es ser sido son fue fueron será",
    suffers: "",
    elides: false,
};

static ITALIAN: Tongue = Tongue {
    at: 4,
    definite: "il lo la i gli le l questo questa questi queste quel quella quello quelle quei",
    pointers: "lo ne ci lì là qui allora anche altro altra altri altre stesso stessa già ancora ciò sì no",
    openings: &["e", "ma", "o", "perché no", "che ne dici"],
    persons: &[
        (1, ["io", "mi me m", "mio mia miei mie", ""]),
        (2, ["tu voi", "ti te t vi v", "tuo tua tuoi tue vostro vostra vostri vostre", ""]),
        (3, ["lui", "", "suo sua suoi sue", ""]),
        (7, ["lei", "", "", ""]),
        (4, ["noi", "", "nostro nostra nostri nostre", ""]),
        (6, ["loro", "", "", ""]),
    ],
    articles: "un uno una",
    small: "che chi cosa quale quali quando dove come quanto quanta può posso puoi possiamo possono potete \
            deve devo devi dobbiamo devono dovete è sono c si ha ho hai hanno perché",
    roles: "a al allo alla ai agli alle all di del dello della dei degli delle dell d da dal dalla in nel nella con \
            su sul sulla per tra fra senza",
    joins: "e o ed",
    by: "da dal dalla dallo dai",
    be: "essere è sono viene vengono stato stata",
    suffers: "",
    elides: true,
};

static PORTUGUESE: Tongue = Tongue {
    at: 5,
    definite: "o a os as este esta estes estas esse essa esses essas aquele aquela",
    pointers: "isso isto aquilo ali lá aqui então também outro outra outros outras mesmo mesma já ainda lhe sim não",
    openings: &["e", "mas", "ou", "porque", "e se", "que tal"],
    persons: &[
        (1, ["eu", "me mim", "meu minha meus minhas", ""]),
        (2, ["tu", "te ti", "teu tua", "você vocês"]),
        (3, ["ele", "", "seu sua seus suas dele", ""]),
        (7, ["ela", "", "dela", ""]),
        (4, ["nós", "nos", "nosso nossa nossos nossas", ""]),
        (6, ["eles elas", "", "", ""]),
    ],
    articles: "um uma uns umas",
    small: "que quem qual quais quando onde como quanto quanta pode posso podes podemos podem deve devo devemos \
            devem é são está estão há se tem tenho por",
    roles: "ao à aos às de do da dos das em no na nos nas para com sem sobre desde até entre contra pelo pela",
    joins: "e ou",
    by: "por pelo pela pelos pelas",
    be: "é ser sido são foi foram será",
    suffers: "",
    elides: false,
};

static DUTCH: Tongue = Tongue {
    at: 6,
    definite: "de het deze dit dat die",
    pointers: "er daar dan zo ook nog weer al hiervan daarvan daarmee ermee ervan ander andere anderen zelfde dezelfde \
               hetzelfde beide hier ja nee",
    openings: &["en", "maar", "of", "omdat", "hoe zit het met", "waarom niet"],
    persons: &[
        (1, ["ik", "mij me", "mijn", ""]),
        (2, ["jij", "jou", "jouw uw", "je u jullie"]),
        (3, ["hij", "hem", "zijn", ""]),
        (7, ["", "", "haar", "zij ze"]),
        (4, ["wij we", "ons", "onze", ""]),
        (6, ["", "hen hun", "", ""]),
    ],
    articles: "een",
    small: "kan kun kunt kunnen mag mogen moet moeten zal zullen wil wilt willen heb hebt heeft hebben is ben bent \
            was waren wordt worden werd wat wie welke welk wanneer waar hoe waarom hoeveel",
    roles: "aan bij in met naar op over te tot uit van voor zonder tegen tussen sinds na onder",
    joins: "en of",
    by: "door",
    be: "wordt worden werd werden is",
    suffers: "",
    elides: false,
};
