# A region on instances, with the ZooKeeper that the manifest names. Image and bucket are of the region's cloud region.
platform   = "instances"
image_id   = "ami-0123456789abcdef0"
log_bucket = "my-access-logs"

binary = {
  url    = "s3://my-releases/meridian-0.1.0"
  sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
}

zookeeper = {
  package = {
    url    = "https://archive.apache.org/dist/zookeeper/zookeeper-3.9.4/apache-zookeeper-3.9.4-bin.tar.gz"
    sha512 = "00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
  }
}
