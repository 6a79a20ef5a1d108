//! Route tables survive the wire, and what an edge cannot read of one does not take the rest along.

use proto_model::OfferId;
use proto_rules::{
    CidrSet, Field, Node, Operator, Route, RouteList, RouteTable, RouteTableParts, StringSet, To, Value,
};
use proto_wire::convert::{route_table_from_wire, route_table_to_wire};
use proto_wire::edge_v1::{self, route, rule_node};

fn offer() -> OfferId {
    OfferId::new(9).unwrap()
}

fn route(id: &str, nodes: Vec<Node>, to: To) -> Route {
    Route { id: id.into(), priority: 7, weight: 3, nodes, to }
}

fn compare(field: Field, value: Value) -> Node {
    Node::Compare { field, operator: Operator::Eq, value }
}

/// Each new field once.
fn table() -> RouteTable {
    let text = |text: &str| Value::Text(text.into());
    let nodes = vec![
        compare(Field::Region, text("Bayern")),
        compare(Field::City, text("München")),
        compare(Field::Asn, Value::Number(4_134)),
        compare(Field::Language, text("de")),
        compare(Field::Connection, text("4g")),
        compare(Field::Weekday, Value::Number(7)),
        compare(Field::LocalHour, Value::Number(0)),
        compare(Field::LocalWeekday, Value::Number(1)),
        Node::Or(8),
    ];
    RouteTable::try_new(RouteTableParts {
        offer: offer(),
        pages: 2,
        strict: true,
        routes: vec![
            route("where", nodes, To::Page(1)),
            route(
                "set",
                vec![Node::InSet { field: Field::Language, set: 0 }],
                To::Offer(OfferId::new(5).unwrap()),
            ),
            route("net", vec![Node::InCidrs { set: 0 }], To::Page(0)),
        ],
        fallbacks: vec![route("rest", vec![], To::Page(0))],
        string_sets: vec![StringSet { name: "tongues".into(), values: vec!["de".into(), "fr".into()] }],
        cidr_sets: vec![CidrSet { name: "office".into(), cidrs: vec!["203.0.113.0/24".parse().unwrap()] }],
    })
    .unwrap()
}

#[test]
fn a_table_reads_back() {
    assert_eq!(route_table_from_wire(offer(), 2, &route_table_to_wire(&table())), (table(), 0));
    let plain = RouteTable::try_new(RouteTableParts::plain(offer())).unwrap();
    assert_eq!(route_table_from_wire(offer(), 0, &edge_v1::RouteTable::default()), (plain, 0));
}

#[test]
fn what_cannot_be_read_is_left_out_alone() {
    type Change = fn(&mut edge_v1::RouteTable);
    let cases: [(&str, Change, usize, &[&str]); 9] = [
        ("a node of the future", |t| t.routes[0].nodes[0].node = None, 1, &["set", "net", "rest"]),
        ("nowhere to go", |t| t.routes[1].to = None, 1, &["where", "net", "rest"]),
        ("no offer", |t| t.routes[1].to = Some(route::To::Offer(0)), 1, &["where", "net", "rest"]),
        ("itself", |t| t.routes[1].to = Some(route::To::Offer(9)), 1, &["where", "net", "rest"]),
        ("no such page", |t| t.routes[0].to = Some(route::To::Page(2)), 1, &["set", "net", "rest"]),
        ("no weight", |t| t.fallbacks[0].weight = 0, 1, &["where", "set", "net"]),
        ("a priority of the future", |t| t.routes[2].priority = 256, 1, &["where", "set", "rest"]),
        // The set, and the route that asks it.
        ("a bad network", |t| t.cidr_sets[0].cidrs[0] = "x".into(), 2, &["where", "set", "rest"]),
        // Four routes and two sets.
        ("a bad set", |t| t.string_sets[0].name = "No".into(), 6, &[]),
    ];
    for (case, change, count, left) in cases {
        let mut wire = route_table_to_wire(&table());
        change(&mut wire);
        let (read, left_out) = route_table_from_wire(offer(), 2, &wire);
        let parts = read.parts();
        let ids = [RouteList::Routes, RouteList::Fallbacks].map(|list| parts.list(list));
        let ids: Vec<_> = ids.into_iter().flatten().map(|route| route.id.as_str()).collect();
        assert_eq!((left_out, ids.as_slice()), (count, left), "{case}");
        assert!(read.strict(), "{case}: strict stays strict");
    }
}

#[test]
fn an_unknown_field_is_left_to_newer_edges() {
    let mut wire = route_table_to_wire(&table());
    let unknown = edge_v1::Compare { field: 99, operator: 1, text: "x".into(), number: 0 };
    wire.routes[0].nodes = vec![edge_v1::RuleNode { node: Some(rule_node::Node::Compare(unknown)) }];
    let (read, left_out) = route_table_from_wire(offer(), 2, &wire);
    assert_eq!((read.parts().routes.len(), left_out), (2, 1));
}
