pub mod edge_v1 {
    tonic::include_proto!("tributary.edge.v1");
}
