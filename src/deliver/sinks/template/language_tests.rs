//! What could grow is refused with its line; what people write stays possible.

use std::path::Path;

use super::super::{Template, samples};

fn parsed(source: &str) -> Result<Vec<u8>, String> {
    let template = Template::parse(Path::new("body"), source.to_owned(), Some("text/plain"));
    template.and_then(|template| template.render(&samples()[0])).map_err(|error| error.to_string())
}

fn text(source: &str) -> String {
    String::from_utf8(parsed(source).expect(source)).expect("text")
}

fn wrong(source: &str) -> String {
    parsed(source).expect_err(source)
}

#[test]
fn a_text_that_doubles_is_refused_with_its_line() {
    let doubling = format!("x\n{}", "{% set x = x ~ x %}".repeat(40));
    let said = wrong(&format!("{{# a comment\n #}}{doubling}"));
    assert!(said.starts_with("body, line 3: the tag `set`") && said.contains("keeps no values"), "{said}");
    for (source, says) in [
        ("{% set x %}{{ model }}{{ model }}{% endset %}", "the tag `set`"),
        ("{% with x = model %}{{ x }}{% endwith %}", "the tag `with`"),
        ("{% filter upper %}x{% endfilter %}", "the tag `filter`"),
        ("{%- raw -%}{{ x }}{% endraw %}", "the tag `raw`"),
        ("{{ 'a' * 100000000 }}", "`*`"),
        ("{{ 2 ** 9 }}", "`*`"),
        ("{% for a in [model ~ model] %}{% endfor %}", "a list to loop over"),
        ("{% for a in model ~ model %}{% endfor %}", "a made text"),
        ("{% for a in findings + findings %}{% endfor %}", "a made text"),
        ("{% for a in findings recursive %}{{ loop([a]) }}{% endfor %}", "calls itself"),
        ("{% for a in findings if a in [model] %}{% endfor %}", "a list to loop over"),
        ("{{ {'a': model} }}", "a map"),
        (&format!("{{{{ model{} }}}}", " ~ model".repeat(33)), "more than 32 parts"),
        (&format!("{{{{ [{}1] }}}}", "findings,".repeat(33)), "more than 32 parts"),
        (&format!("{{{{ {}1 }}}}", "-".repeat(30_000)), "more than 256 signs"),
        (&format!("{{{{ model{} }}}}", ".x".repeat(20_000)), "more than 256 signs"),
        (&format!("{{{{ {}1 }}}}", "not ".repeat(20_000)), "more than 256 signs"),
    ] {
        let said = wrong(source);
        assert!(said.contains(says), "{source}: {said}");
    }
}

#[test]
fn what_filters_make_is_bounded_before_it_is_made() {
    let growing = "'aaaaaaaaaaaaaaaa'".to_owned() + &"|replace('a', 'aaaaaaaaaaaaaaaa')".repeat(30);
    let joined = "range(9000)|join('aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa')";
    for source in [growing.as_str(), joined, "range(300)|join(range(300)|join(','))"] {
        let said = wrong(&format!("{{{{ {source} }}}}"));
        assert!(said.contains("64 KiB"), "{source}: {said}");
    }
    let nested = "range(50)|map('default', range(50))";
    assert!(wrong(&format!("{{{{ {nested} }}}}")).contains("without arguments"));
    assert!(wrong("{{ range(9)|map(attribute='x', default=findings) }}").contains("without arguments"));
    assert!(wrong("{{ findings|tojson(1000000000) }}").contains("too many arguments"));
    let busy = "{% for a in range(9000) %}{{ range(9000)|join|length > 0 }}{% endfor %}";
    assert!(wrong(busy).contains("too many steps"));
    for unknown in [
        "{{ '%9999999999d'|format(1) }}",
        "{{ findings|batch(99999999, 1) }}",
        "{{ model|indent(99999999) }}",
    ] {
        assert!(wrong(unknown).contains("lists the filters"), "{unknown}");
    }
}

#[test]
fn what_people_write_is_possible() {
    assert_eq!(text("{{ model ~ ' ' ~ version }}"), "flights 1.0.0");
    assert_eq!(text("{{ coverage|times(100)|round|int }} %"), "100 %");
    assert_eq!(text("{{ findings|map(attribute='column')|join(', ') }}"), "distance");
    assert_eq!(
        text("{% for f in findings[:3] %}{{ loop.index }}. {{ f.column }}{% endfor %}"),
        "1. distance"
    );
    assert_eq!(
        text("{% for f in findings|sort(attribute='statistic') -%} {{ f.detector }} {%+ endfor +%}"),
        "psi "
    );
    assert_eq!(text("{% if severity in ['warning', 'critical'] %}!{% else %}?{% endif %}"), "!");
    assert_eq!(text("{{ runbook|default('none', true) }}"), "https://runbooks.example.com/drift");
    assert_eq!(text("{{ \"a { % * ~ ' }} b\" }} * ~ + {x} { { % #}"), "a { % * ~ ' }} b * ~ + {x} { { % #}");
    assert_eq!(text("{{ summary is startingwith('flights') and not (repeat is odd) }}"), "True");
    assert_eq!(text("{# {% set x = 1 %} #}{{ findings|length }}"), "1");
}
