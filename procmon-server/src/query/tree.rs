//! What was written, as a tree.

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) column: usize,
    pub(super) kind: NodeKind,
    depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
    Name(String),
    List(Vec<Node>),
    Not(Box<Node>),
    Negate(Box<Node>),
    /// `&&`
    All(Vec<Node>),
    /// `||`
    Any(Vec<Node>),
    Binary(&'static str, Box<[Node; 2]>),
    If(Box<[Node; 3]>),
    Select(Box<Node>, String),
    Index(Box<[Node; 2]>),
    Call {
        target: Option<Box<Node>>,
        function: String,
        arguments: Vec<Node>,
    },
}

impl Node {
    pub(super) fn new(column: usize, kind: NodeKind) -> Self {
        let depth = 1 + kind.deepest_child();
        Self {
            column,
            kind,
            depth,
        }
    }

    /// Nodes on the longest way down.
    pub(super) fn depth(&self) -> usize {
        self.depth
    }
}

impl NodeKind {
    fn deepest_child(&self) -> usize {
        let deepest = |nodes: &[Node]| nodes.iter().map(Node::depth).max().unwrap_or(0);
        match self {
            Self::Null
            | Self::Bool(_)
            | Self::Int(_)
            | Self::Double(_)
            | Self::Text(_)
            | Self::Name(_) => 0,
            Self::List(nodes) | Self::All(nodes) | Self::Any(nodes) => deepest(nodes),
            Self::Not(node) | Self::Negate(node) | Self::Select(node, _) => node.depth,
            Self::Binary(_, nodes) | Self::Index(nodes) => deepest(&nodes[..]),
            Self::If(nodes) => deepest(&nodes[..]),
            Self::Call {
                target, arguments, ..
            } => {
                let target = target.as_ref().map_or(0, |target| target.depth);
                deepest(arguments).max(target)
            }
        }
    }
}
