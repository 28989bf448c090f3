"""Sets up a server that poses as AWS: setup.py moto|ministack URL. Prints what was made as JSON.

Users: `rig` may do everything, `denied` everything but a few actions (moto only, which checks).
Roles: one to assume, one each for EKS, its nodes and Lambda. Networks: the default VPC of some regions.
"""

import json
import sys
import urllib.request

import boto3
from botocore.config import Config

REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1"]
DENIED = ["ec2:RunInstances", "ec2:CreateVpc", "s3:CreateBucket", "rds:CreateDBInstance", "rds:CreateDBCluster",
          "lambda:CreateFunction"]
ROLES = {"multicloud-assume": {"AWS": "*"}, "multicloud-eks": {"Service": "eks.amazonaws.com"},
         "multicloud-nodes": {"Service": "ec2.amazonaws.com"}, "multicloud-lambda": {"Service": "lambda.amazonaws.com"}}


def policy(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


ALL = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def client(url, service, region="us-east-1"):
    # Before checks are on, any key will do; ministack checks none.
    return boto3.client(service, region_name=region, endpoint_url=url, aws_access_key_id="setup",
                        aws_secret_access_key="setup", config=Config(retries={"total_max_attempts": 1}))


def user(iam, name, document):
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="rig", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {"access_key_id": key["AccessKeyId"], "secret_access_key": key["SecretAccessKey"]}


def role(iam, name, principal):
    trust = policy({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})
    arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    iam.put_role_policy(RoleName=name, PolicyName="rig", PolicyDocument=policy(ALL))
    return arn


def network(ec2):
    default = [{"Name": "is-default", "Values": ["true"]}]
    vpc = ec2.describe_vpcs(Filters=default)["Vpcs"][0]["VpcId"]
    within = [{"Name": "vpc-id", "Values": [vpc]}]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets(Filters=within)["Subnets"]]
    named = [*within, {"Name": "group-name", "Values": ["default"]}]
    group = ec2.describe_security_groups(Filters=named)["SecurityGroups"][0]["GroupId"]
    return {"vpc": vpc, "subnets": sorted(subnets), "security_group": group}


def moto_api(url, path, body):
    # Without a type of its own it would be taken for a form, and its body for read.
    request = urllib.request.Request(f"{url}/moto-api/{path}", data=body.encode(), headers={"Content-Type": "text/plain"})
    urllib.request.urlopen(request, timeout=10).close()


def main(kind, url):
    iam = client(url, "iam")
    made = {
        "keys": user(iam, "rig", policy(ALL)),
        "role_arns": {name: role(iam, name, principal) for name, principal in ROLES.items()},
        "networks": {region: network(client(url, "ec2", region)) for region in REGIONS},
    }
    if kind == "moto":
        made["denied"] = user(iam, "denied", policy(ALL, {"Effect": "Deny", "Action": DENIED, "Resource": "*"}))
        moto_api(url, "config", json.dumps({"lambda": {"use_docker": False}}))
        # From now on signatures and permissions are checked.
        moto_api(url, "reset-auth", "0")
    json.dump(made, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
