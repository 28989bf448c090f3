"""AWS's own client, for tests of the rig: boto3_calls.py URL ACCESS_KEY SECRET_KEY ROLE_ARN SUBNET,SUBNET. One call or more per protocol.

Those that no server answers must still be sent: their errors are ignored.
"""

import datetime
import io
import sys
import urllib.error
import urllib.request
import zipfile

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

URL, ACCESS, SECRET, ROLE, SUBNETS = sys.argv[1:]
NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)


def client(service):
    # Addresses of S3 are signed by an older version otherwise.
    version = "s3v4" if service == "s3" else None
    config = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}, signature_version=version)
    return boto3.client(service, region_name="us-east-1", endpoint_url=URL, aws_access_key_id=ACCESS,
                        aws_secret_access_key=SECRET, config=config)


def unanswered(call, **parameters):
    try:
        call(**parameters)
    except ClientError:
        pass


def ec2():
    ec2 = client("ec2")
    image = ec2.describe_images(Owners=["amazon"], MaxResults=5)["Images"][0]["ImageId"]
    ec2.run_instances(
        ImageId=image, InstanceType="t3.micro", MinCount=1, MaxCount=1, ClientToken="rig-token",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        BlockDeviceMappings=[{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 8, "Encrypted": True}}],
        TagSpecifications=[{"ResourceType": "instance", "Tags": [{"Key": "a b", "Value": "ü/&="}]}])
    ec2.describe_instances(Filters=[{"Name": "tag:a b", "Values": ["ü/&=", "x"]}])


def s3():
    s3 = client("s3")
    s3.create_bucket(Bucket="rig-bucket")
    s3.put_bucket_versioning(Bucket="rig-bucket", VersioningConfiguration={"Status": "Enabled"})
    s3.put_bucket_tagging(Bucket="rig-bucket", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    s3.put_bucket_lifecycle_configuration(Bucket="rig-bucket", LifecycleConfiguration={
        "Rules": [{"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "p/"}, "Expiration": {"Days": 3}}]})
    s3.put_object(Bucket="rig-bucket", Key="a key/with +%ü", Body=b"content", Metadata={"owner": "ada"})
    s3.get_object(Bucket="rig-bucket", Key="a key/with +%ü", Range="bytes=1-2")
    s3.copy_object(Bucket="rig-bucket", Key="copy", CopySource={"Bucket": "rig-bucket", "Key": "a key/with +%ü"})
    upload = s3.create_multipart_upload(Bucket="rig-bucket", Key="large")["UploadId"]
    part = s3.upload_part(Bucket="rig-bucket", Key="large", UploadId=upload, PartNumber=1, Body=b"x")
    s3.complete_multipart_upload(Bucket="rig-bucket", Key="large", UploadId=upload, MultipartUpload={
        "Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]})
    s3.list_objects_v2(Bucket="rig-bucket", MaxKeys=5, Prefix="a")
    s3.list_object_versions(Bucket="rig-bucket")
    s3.delete_objects(Bucket="rig-bucket", Delete={"Objects": [{"Key": "copy"}], "Quiet": True})
    s3.list_buckets()
    address = s3.generate_presigned_url("get_object", Params={"Bucket": "rig-bucket", "Key": "a key/with +%ü"})
    assert urllib.request.urlopen(address, timeout=10).read() == b"content"
    for wrong in (address.replace("a%20key", "large"), address.replace("Expires=3600", "Expires=3601")):
        try:
            urllib.request.urlopen(wrong, timeout=10)
            raise AssertionError(f"was served: {wrong}")
        except urllib.error.HTTPError as error:
            assert error.code == 403, error


def databases():
    rds = client("rds")
    rds.create_db_instance(DBInstanceIdentifier="rig", DBInstanceClass="db.t3.micro", Engine="postgres",
                           MasterUsername="rig", MasterUserPassword="long-password", AllocatedStorage=20,
                           StorageEncrypted=True, Tags=[{"Key": "a", "Value": "b"}])
    rds.describe_db_instances(Filters=[{"Name": "engine", "Values": ["postgres", "mysql"]}])
    unanswered(client("rds-data").execute_statement, resourceArn="arn:aws:rds:us-east-1:123456789012:cluster:rig",
               secretArn="arn:aws:secretsmanager:us-east-1:123456789012:secret:rig", sql="select :a",
               parameters=[{"name": "a", "value": {"longValue": 1}}])


def network():
    elb = client("elbv2")
    made = elb.create_load_balancer(Name="rig", Subnets=SUBNETS.split(",")[:2], Type="network")
    elb.describe_load_balancers(LoadBalancerArns=[made["LoadBalancers"][0]["LoadBalancerArn"]])
    unanswered(client("globalaccelerator").create_accelerator, Name="rig", IpAddressType="IPV4", Enabled=True,
               IdempotencyToken="token")
    unanswered(client("directconnect").create_direct_connect_gateway, directConnectGatewayName="rig")
    route53 = client("route53")
    zone = route53.create_hosted_zone(Name="rig.example.", CallerReference="rig")["HostedZone"]["Id"]
    record = {"Name": "a.rig.example.", "Type": "A", "TTL": 60, "SetIdentifier": "one", "Weight": 10,
              "ResourceRecords": [{"Value": "192.0.2.1"}]}
    route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch={
        "Changes": [{"Action": "UPSERT", "ResourceRecordSet": record}]})
    route53.list_resource_record_sets(HostedZoneId=zone, MaxItems="10")


def platforms():
    client("eks").create_cluster(name="rig", roleArn=ROLE, resourcesVpcConfig={"subnetIds": SUBNETS.split(",")},
                                 tags={"a": "b"})
    client("eks").describe_cluster(name="rig")
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("main.py", "def handler(event, context): return event")
    functions = client("lambda")
    functions.create_function(FunctionName="rig", Runtime="python3.12", Role=ROLE, Handler="main.handler",
                              Code={"ZipFile": archive.getvalue()})
    functions.invoke(FunctionName="rig", Payload=b'{"a": 1}')
    functions.list_functions(MaxItems=10)


def others():
    cloudwatch = client("cloudwatch")
    metric = {"Metric": {"Namespace": "AWS/EC2", "MetricName": "CPUUtilization",
                         "Dimensions": [{"Name": "InstanceId", "Value": "i-0123456789abcdef0"}]},
              "Period": 60, "Stat": "Average"}
    cloudwatch.get_metric_data(MetricDataQueries=[{"Id": "m1", "MetricStat": metric}], StartTime=NOW,
                               EndTime=NOW + datetime.timedelta(hours=1))
    client("secretsmanager").create_secret(Name="rig", SecretString="secret")
    client("ssm").put_parameter(Name="/rig/a", Value="b", Type="String")
    client("ssm").get_parameter(Name="/rig/a")
    client("resourcegroupstaggingapi").get_resources(TagFilters=[{"Key": "a", "Values": ["b"]}])
    unanswered(client("service-quotas").list_service_quotas, ServiceCode="vpc")
    period = {"Start": "2026-01-01", "End": "2026-02-01"}
    client("ce").get_cost_and_usage(TimePeriod=period, Granularity="MONTHLY", Metrics=["UnblendedCost"],
                                    GroupBy=[{"Type": "DIMENSION", "Key": "SERVICE"}])
    unanswered(client("pricing").get_products, ServiceCode="AmazonEC2",
               Filters=[{"Type": "TERM_MATCH", "Field": "instanceType", "Value": "t3.micro"}])
    client("budgets").create_budget(AccountId="123456789012", Budget={
        "BudgetName": "rig", "BudgetType": "COST", "TimeUnit": "MONTHLY", "BudgetLimit": {"Amount": "10", "Unit": "USD"}})
    client("sts").assume_role(RoleArn=ROLE, RoleSessionName="rig", DurationSeconds=900)


for calls in (ec2, s3, databases, network, platforms, others):
    calls()
